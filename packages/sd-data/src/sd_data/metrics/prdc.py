"""Precision, recall, density and coverage of feature vectors."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from sd_core.plugin import Score
from sd_data.metrics.comparison import Comparison
from sd_data.metrics.features import Features
from sd_data.metrics.mmd import Array, feature_vectors, project
from sd_data.metrics.options import PrdcOptions


def prdc(options: PrdcOptions) -> Comparison:
    """Naeem 2020 (equations 2, 3, 6 and 7) on the features of `mmd`, within balls that hold k neighbours (EEG.md 3.7).

    Precision: share of generated windows inside a ball of a real one; recall: share of real windows inside a
    ball of a generated one; density: balls that a generated window lies in, over k; coverage: share of real
    balls that hold a generated window. The verdict reads `prdc`, the harmonic mean of precision and recall:
    windows that are all alike, at the centre of the real ones, have perfect precision, density and much
    coverage, but no recall. Not defined for k + 1 windows a side or fewer.
    """

    def compare(real: Features, generated: Features) -> dict[str, float]:
        if min(len(real.signal), len(generated.signal)) <= options.neighbours + 1:
            return {}
        projected = project(feature_vectors(real), feature_vectors(generated), options.components)
        return neighbourhoods(*projected, options.neighbours)

    scores = {
        "prdc": Score("Precision and recall", ideal=1.0, spatial=True),
        "precision": Score("Precision", ideal=1.0, detail=True, spatial=True),
        "recall": Score("Recall", ideal=1.0, detail=True, spatial=True),
        "density": Score("Density", ideal=1.0, detail=True, spatial=True),
        "coverage": Score("Coverage", ideal=1.0, detail=True, spatial=True),
    }
    return Comparison(scores, compare)


def neighbourhoods(real: Array, generated: Array, k: int) -> dict[str, float]:
    """The numbers for samples (n, d) and (m, d)."""
    across = cdist(real, generated)
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


def _radii(points: Array, k: int) -> Array:
    """Distance of each point to its k-th neighbour, itself not counted."""
    return np.asarray(np.partition(cdist(points, points), k, axis=1)[:, k])
