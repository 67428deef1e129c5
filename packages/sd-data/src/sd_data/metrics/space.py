"""Space: how electrodes vary together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pyriemann.geometry.base import expm, logm
from pyriemann.geometry.distance import distance_riemann

from sd_core.plugin import NoOptions, Score, Windows
from sd_data.metrics.bands import scalp
from sd_data.metrics.comparison import of_all, undefined
from sd_data.metrics.features import features

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

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
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Takes the matrix logarithm of every window once; halves differ in their means only."""
        channels = scalp(real.info.channel_names)
        if len(channels) < 2:
            return undefined
        basis = eigenspace(referenced(features(train).covariance, channels).mean(0))
        theirs, ours = (_Means.of(windows, channels, basis) for windows in (real, generated))
        return lambda held_out, made: {"covariance": float(distance_riemann(theirs(held_out), ours(made)))}


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


@dataclass(frozen=True)
class _Means:
    """Log-Euclidean means of windows; arithmetic where windows are too short for a full-rank covariance each."""

    matrices: Array
    """Covariances or their logarithms, (n, k, k)."""
    logarithms: bool

    @classmethod
    def of(cls, windows: Windows, channels: list[int], basis: Array) -> _Means:
        """Of windows in a basis of unit variance over the training windows.

        The ridge weighs nothing there, unless a window is silent.
        """
        size = basis.shape[1]
        ridged = basis.T @ referenced(features(windows).covariance, channels) @ basis + 1e-6 * np.eye(size)
        full_rank = windows.info.n_samples > 2 * size
        return cls(np.asarray(logm(ridged) if full_rank else ridged), full_rank)

    def __call__(self, rows: Rows) -> Array:
        """The mean over some of the windows."""
        mean = self.matrices[rows].mean(0)
        return np.asarray(expm(mean) if self.logarithms else mean)
