"""The common shape of most metrics: features of generated windows against those of held-out windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from sd_core.plugin import Score, Windows
from sd_data.metrics.features import Features, features


@dataclass
class Comparison:
    """A metric that needs no training windows."""

    scores: Mapping[str, Score]
    compare: Callable[[Features, Features], dict[str, float]]
    """(held-out, generated) -> numbers; a score that is not defined for these windows is left out."""

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The numbers that `scores` describes."""
        del train
        return self.compare(features(real), features(generated))


def wasserstein(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Wasserstein-1 distance of two samples, of any shape."""
    return float(wasserstein_distance(a.ravel(), b.ravel()))
