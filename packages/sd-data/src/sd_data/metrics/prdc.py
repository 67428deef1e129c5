"""Precision, recall, density and coverage of feature vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from sd_core.plugin import Score
from sd_data.metrics.mmd import Array, Projected
from sd_data.metrics.options import PrdcOptions

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer


def prdc(options: PrdcOptions) -> Projected:
    """Naeem 2020 (equations 2, 3, 6 and 7) on the features of `mmd`, within balls that hold k neighbours (EEG.md 3.7).

    Precision: share of generated windows inside a ball of a real one; recall: share of real windows inside a
    ball of a generated one; density: balls that a generated window lies in, over k; coverage: share of real
    balls that hold a generated window. The verdict reads `prdc`, the harmonic mean of precision and recall:
    windows that are all alike, at the centre of the real ones, have perfect precision, density and much
    coverage, but no recall. Not defined for k + 1 windows a side or fewer.
    """

    def prepare(a: Array, b: Array) -> Scorer:
        theirs, ours, across = cdist(a, a), cdist(b, b), cdist(a, b)

        def score(held_out: Rows, made: Rows) -> dict[str, float]:
            squares = theirs[np.ix_(held_out, held_out)], ours[np.ix_(made, made)], across[np.ix_(held_out, made)]
            return _shares(*squares, options.neighbours)

        return score

    few = f"it needs {options.neighbours + 2} windows a side"
    scores = {
        "prdc": Score("Precision and recall", ideal=1.0, limits=(0.0, 1.0), spatial=True, undefined=few),
        "precision": Score("Precision", ideal=1.0, limits=(0.0, 1.0), detail=True, spatial=True),
        "recall": Score("Recall", ideal=1.0, limits=(0.0, 1.0), detail=True, spatial=True),
        "density": Score("Density", ideal=1.0, detail=True, spatial=True),
        "coverage": Score("Coverage", ideal=1.0, limits=(0.0, 1.0), detail=True, spatial=True),
    }
    return Projected(scores, options.components, options.neighbours + 2, prepare)


def neighbourhoods(real: Array, generated: Array, k: int) -> dict[str, float]:
    """The numbers for samples (n, d) and (m, d)."""
    return _shares(cdist(real, real), cdist(generated, generated), cdist(real, generated), k)


def _shares(real: Array, generated: Array, across: Array, k: int) -> dict[str, float]:
    """The numbers from distances (n, n), (m, m) and (n, m)."""
    inside_real = across < _radii(real, k)[:, None]
    inside_generated = across < _radii(generated, k)[None, :]
    precision, recall = float(inside_real.any(0).mean()), float(inside_generated.any(1).mean())
    return {
        "prdc": 2 * precision * recall / max(precision + recall, 1e-12),
        "precision": precision,
        "recall": recall,
        "density": float(inside_real.sum(0).mean() / k),
        "coverage": float(inside_real.any(1).mean()),
    }


def _radii(distances: Array, k: int) -> Array:
    """Distance of each point to its k-th neighbour, itself not counted."""
    return np.asarray(np.partition(distances, k, axis=1)[:, k])
