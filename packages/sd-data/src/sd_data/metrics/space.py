"""Space: how electrodes vary together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pyriemann.geometry.distance import distance_riemann
from pyriemann.geometry.mean import mean_logeuclid

from sd_core.plugin import NoOptions, Score, Windows
from sd_data.metrics.bands import scalp
from sd_data.metrics.features import features

Array = NDArray[np.float64]

SMALLEST_EIGENVALUE = 1e-3
"""Of the largest: weaker spatial directions are left out, the average reference makes one exactly zero."""


class CovarianceDistance:
    """Affine-invariant Riemannian distance of log-Euclidean mean covariances (EEG.md 3.3).

    Both sides are average-referenced over the scalp electrodes (A2-A1 left out) and looked at in the
    eigenspace of the training mean with eigenvalues above `SMALLEST_EIGENVALUE` of the largest.
    """

    def __init__(self, options: NoOptions) -> None:
        del options
        self.scores: Mapping[str, Score] = {"covariance": Score("Covariance", spatial=True)}

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """Nothing for fewer than two scalp electrodes."""
        channels = scalp(real.info.channel_names)
        if len(channels) < 2:
            return {}
        basis = eigenspace(referenced(features(train).covariance, channels).mean(0))
        ours, theirs = (
            _mean(basis.T @ referenced(features(windows).covariance, channels) @ basis, windows.info.n_samples)
            for windows in (generated, real)
        )
        return {"covariance": float(distance_riemann(theirs, ours))}


def referenced(covariance: Array, channels: list[int]) -> Array:
    """Covariances (n, channels, channels) of the chosen channels after average reference."""
    chosen = covariance[:, channels][:, :, channels]
    centring = np.eye(len(channels)) - 1 / len(channels)
    return np.asarray(centring @ chosen @ centring)


def eigenspace(mean: Array) -> Array:
    """Directions (channels, k) of a mean covariance that carry signal, scaled to unit variance."""
    values, vectors = np.linalg.eigh(mean)
    kept = values > SMALLEST_EIGENVALUE * values[-1]
    return np.asarray(vectors[:, kept] / np.sqrt(values[kept]))


def _mean(covariance: Array, n_samples: int) -> Array:
    """Log-Euclidean mean; arithmetic where windows are too short for a full-rank covariance each.

    The directions have unit variance over the training windows, so the ridge weighs nothing unless a
    window is silent.
    """
    size = covariance.shape[-1]
    ridged = covariance + 1e-6 * np.eye(size)
    return np.asarray(mean_logeuclid(ridged) if n_samples > 2 * size else ridged.mean(0))
