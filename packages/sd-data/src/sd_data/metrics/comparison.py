"""The common shape of most metrics: features of generated windows against those of held-out windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from sd_core.plugin import Score, Windows
from sd_data.metrics.features import Features, features

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer


@dataclass
class Comparison:
    """A metric that needs no training windows; resampling it costs no more than comparing."""

    scores: Mapping[str, Score]
    compare: Callable[[Features, Features], dict[str, float]]
    """(held-out, generated) -> numbers; a score that is not defined for these windows is left out."""

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The numbers that `scores` describes."""
        del train
        return self.compare(features(real), features(generated))

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Compares the features of some of the windows."""
        del train
        theirs, ours = features(real), features(generated)
        return lambda held_out, made: self.compare(theirs[held_out], ours[made])


def of_all(scorer: Scorer, real: Windows, generated: Windows) -> dict[str, float]:
    """What a scorer says of all windows."""
    return scorer(np.arange(len(real)), np.arange(len(generated)))


def undefined(held_out: Rows, made: Rows) -> dict[str, float]:
    """The scorer of windows that a metric has nothing to say about."""
    del held_out, made
    return {}


def wasserstein(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Wasserstein-1 distance of two samples, of any shape."""
    return float(wasserstein_distance(a.ravel(), b.ravel()))
