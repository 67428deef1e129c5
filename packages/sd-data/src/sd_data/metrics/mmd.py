"""Maximum mean discrepancy of feature vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from sd_core.plugin import Score
from sd_data.metrics.comparison import Comparison
from sd_data.metrics.features import Features
from sd_data.metrics.options import MmdOptions

Array = NDArray[np.float64]

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the squared kernel width, around the median of the squared distances (Gretton 2012, section 8)."""
CLIP = 10.0
"""Standardised features beyond this many deviations count as this many: one artefact decides nothing."""


def mmd(options: MmdOptions) -> Comparison:
    """Unbiased MMD^2 with a mean of five Gaussian kernels (Gretton 2012, equation 3) over EEG features.

    Features of a window (EEG.md 3.5): log band powers, Fisher-z correlations, aperiodic exponent,
    alpha height and frequency, mean kurtosis; standardised and reduced to principal components by
    the held-out windows. Estimates below zero (nothing to see) are given as zero; not defined for
    fewer than two windows a side.
    """

    def compare(real: Features, generated: Features) -> dict[str, float]:
        if min(len(real.signal), len(generated.signal)) < 2:
            return {}
        projected = project(feature_vectors(real), feature_vectors(generated), options.components)
        return {"mmd": max(0.0, mmd2(*projected))}

    return Comparison({"mmd": Score("MMD² of features", spatial=True)}, compare)


def feature_vectors(found: Features) -> Array:
    """One row per window: (n, features)."""
    upper = np.triu_indices(found.info.n_channels, 1)
    columns = [*found.band_power.values()]
    columns.append(np.arctanh(np.clip(found.correlation[:, upper[0], upper[1]], -0.999, 0.999)))
    columns.append(found.kurtosis.mean(1, keepdims=True))
    if found.alpha is not None:
        columns += [value[:, None] for value in (found.alpha.exponent, found.alpha.height, found.alpha.frequency)]
    return np.concatenate(columns, axis=1)


def mmd2(a: Array, b: Array) -> float:
    """Unbiased estimate for samples (n, d) and (m, d)."""
    n, m = len(a), len(b)
    squared = cdist(np.concatenate([a, b]), np.concatenate([a, b]), "sqeuclidean")
    positive = squared[squared > 0]
    if not len(positive):
        return 0.0
    width = np.median(positive)
    kernel = np.mean([np.exp(-squared / (scale * width)) for scale in SCALES], axis=0)
    within = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return float(within - 2 * kernel[:n, n:].mean())


def project(reference: Array, other: Array, components: int) -> tuple[Array, Array]:
    """Standardised by the reference (n, d), in its principal components at unit variance; so is the other (m, d)."""
    mean, spread = reference.mean(0), reference.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    a, b = (np.clip((x - mean) / spread, -CLIP, CLIP) for x in (reference, other))
    centre = a.mean(0)
    _, strength, axes = np.linalg.svd(a - centre, full_matrices=False)
    kept = min(components, int((strength > 1e-6 * strength[0]).sum())) if strength[0] > 0 else 0
    if not kept:
        return a, b
    turn = axes[:kept].T / (strength[:kept] / np.sqrt(len(a)))
    return (a - centre) @ turn, (b - centre) @ turn
