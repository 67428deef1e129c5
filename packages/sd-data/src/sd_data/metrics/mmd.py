"""Maximum mean discrepancy of feature vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from sd_core.plugin import Score, Windows
from sd_data.metrics.comparison import of_all, undefined
from sd_data.metrics.features import Features, features
from sd_data.metrics.options import MmdOptions

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

Array = NDArray[np.float64]

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the squared kernel width, around the median of the squared distances (Gretton 2012, section 8)."""
CLIP = 10.0
"""Standardised features beyond this many deviations count as this many: one artefact decides nothing."""


def mmd(options: MmdOptions) -> Projected:
    """Unbiased MMD^2 with a mean of five Gaussian kernels (Gretton 2012, equation 3) over EEG features.

    Features of a window (EEG.md 3.5): log band powers, Fisher-z correlations, aperiodic exponent,
    alpha height and frequency, mean kurtosis; standardised and reduced to principal components by
    the held-out windows. Estimates below zero (nothing to see) are given as zero; not defined for
    fewer than two windows a side.
    """

    def prepare(a: Array, b: Array) -> Scorer:
        values = kernel(np.concatenate([a, b]))
        n = len(a)

        def score(held_out: Rows, made: Rows) -> dict[str, float]:
            return {"mmd": max(0.0, discrepancy(values, held_out, n + made))}

        return score

    # Half a per cent of the kernel's range; the floor of many windows is an exact tie with the ideal.
    score = Score("MMD² of features", spatial=True, slack=0.005)
    return Projected({"mmd": score}, options.components, 2, prepare)


@dataclass(frozen=True)
class Projected:
    """A metric of two samples of feature vectors, in principal components that the held-out windows determine."""

    scores: Mapping[str, Score]
    components: int
    least: int
    """Windows a side without which it is not defined."""
    prepare: Callable[[Array, Array], Scorer]
    """Samples (n, d) and (m, d) -> what scores some of their rows."""

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The numbers that `scores` describes."""
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Projects and measures once, then looks up."""
        del train
        if min(len(real), len(generated)) < self.least:
            return undefined
        theirs, ours = (feature_vectors(features(windows)) for windows in (real, generated))
        score = self.prepare(*project(theirs, ours, self.components))
        return lambda held_out, made: score(held_out, made) if min(len(held_out), len(made)) >= self.least else {}


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
    return discrepancy(kernel(np.concatenate([a, b])), np.arange(len(a)), len(a) + np.arange(len(b)))


def kernel(x: Array) -> Array:
    """Mean of Gaussian kernels at `SCALES` between all rows of x (n, d): (n, n)."""
    squared = cdist(x, x, "sqeuclidean")
    positive = squared[squared > 0]
    if not len(positive):
        return np.ones_like(squared)
    # Every scale is half the next one, so that its kernel is the square of the next one's.
    power = np.exp(-squared / (SCALES[-1] * np.median(positive)))
    total = power.copy()
    for _ in SCALES[1:]:
        np.square(power, out=power)
        total += power
    return np.asarray(total / len(SCALES))


def discrepancy(values: Array, first: Rows, second: Rows) -> float:
    """Unbiased MMD^2 of two disjoint sets of rows of a kernel matrix with a diagonal of ones."""
    within = 0.0
    for rows in (first, second):
        within += (values[np.ix_(rows, rows)].sum() - len(rows)) / (len(rows) * (len(rows) - 1))
    return float(within - 2 * values[np.ix_(first, second)].mean())


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
