"""Fréchet and kernel distances of feature vectors, as images are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sd_core.plugin import Score
from sd_data.metrics.mmd import Array, Projected
from sd_data.metrics.options import FrechetOptions

if TYPE_CHECKING:
    from sd_core.protocols import Scorer


def frechet(options: FrechetOptions) -> Projected:
    """Two distances on the features of `mmd` (EEG.md 3.5), for comparison with the literature.

    `frechet`: Fréchet distance of the Gaussians fitted to both sides (Heusel 2017, equation 6); it falls with
    the number of windows, so compare it with its floor only. `kid`: unbiased MMD^2 with the kernel
    (x y / d + 1)^3 (Binkowski 2018, section 4), below zero by chance where there is nothing to see. Not defined
    for fewer than two windows a side.
    """

    def prepare(a: Array, b: Array) -> Scorer:
        return lambda held_out, made: {
            "frechet": frechet_distance(a[held_out], b[made]),
            "kid": kid(a[held_out], b[made]),
        }

    scores = {
        "frechet": Score("Fréchet distance", detail=True, spatial=True),
        "kid": Score("KID", detail=True, spatial=True),
    }
    return Projected(scores, options.components, 2, prepare)


def frechet_distance(a: Array, b: Array) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)) for samples (n, d) and (m, d)."""
    first, second = (np.atleast_2d(np.cov(x.T)) for x in (a, b))
    # The eigenvalues of a product of covariances are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0.0))
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + np.trace(first) + np.trace(second) - 2 * roots.sum())


def kid(a: Array, b: Array) -> float:
    """Unbiased estimate for samples (n, d) and (m, d)."""
    n, m, width = len(a), len(b), a.shape[1]
    within_a, within_b, across = ((x @ y.T / width + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    same = (within_a.sum() - np.trace(within_a)) / (n * (n - 1)) + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(same - 2 * across.mean())
