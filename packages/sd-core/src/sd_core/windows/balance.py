"""Which windows are drawn how often: weights and a resample without chance to miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Columns(Protocol):
    """Anything with label columns of equal length."""

    def __len__(self) -> int: ...

    def column(self, name: str) -> list[Any]:
        """Values of one column."""
        ...


def balance_weights(rows: Columns, columns: Sequence[str], power: float, cap: float) -> NDArray[np.float64]:
    """Sampling weights 1 / count^power of each combination of the columns' values.

    Args:
        rows: A split.
        columns: Such as ["corpus", "gender", "health"]; missing values count as a value of their own.
        power: 0 leaves windows as they are, 1 draws every combination equally often.
        cap: Largest weight relative to the mean, at least 1; what it cuts goes to the other windows.

    Returns:
        (n,) with mean 1.

    Raises:
        SdError: a column is missing.
    """
    combinations = list(zip(*(rows.column(name) for name in columns), strict=True)) or [()] * len(rows)
    counts = Counter(combinations)
    weights = np.array([counts[combination] ** -power for combination in combinations], dtype=np.float64)
    return _capped(weights / weights.mean(), cap)


def _capped(weights: NDArray[np.float64], cap: float) -> NDArray[np.float64]:
    """Scale and cut until the mean is 1 and nothing stands above the cap.

    Each round fixes the weights that reach the cap and scales the free ones to fill the rest, so it
    ends after at most as many rounds as there are distinct weights.
    """
    capped = np.zeros(len(weights), dtype=bool)
    while True:
        scale = (len(weights) - cap * capped.sum()) / weights[~capped].sum()
        over = ~capped & (weights * scale > cap)
        if not over.any():
            return np.where(capped, cap, weights * scale)
        capped |= over


def systematic_resample(weights: NDArray[np.float64], n: int, u: float) -> NDArray[np.int64]:
    """Draw n rows so that row i appears floor or ceil of n w_i / sum(w) times (Kitagawa 1996).

    Args:
        weights: (rows,), not negative.
        n: Number of draws.
        u: The one random number, in [0, 1).

    Returns:
        (n,) row numbers, ascending.
    """
    edges = np.cumsum(weights)
    # Rounding must not carry the last place over the last edge.
    places = np.minimum((np.arange(n) + u) * (edges[-1] / n), np.nextafter(edges[-1], 0))
    drawn: NDArray[np.int64] = np.searchsorted(edges, places, side="right").astype(np.int64)
    return drawn
