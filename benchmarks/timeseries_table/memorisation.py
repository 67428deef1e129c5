"""Whether generated windows are copies: a protocol that tests on what was trained on rewards copying."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.timeseries_table.data import Series

Array = NDArray[np.float32]
Mask = Callable[[NDArray[np.intp]], NDArray[np.bool_]]

_ROWS = 512
"""Windows whose distances to all others are held at a time."""


def memorisation(train: Series, generated: Array) -> dict[str, float]:
    """Distance to the nearest training window, over that of real windows to the nearest one they share no row with.

    Distances are Euclidean over all steps and features, each feature divided by its training standard deviation.

    Returns:
        `ratio`, of medians: 0 for copies, 1 where a generated window is as far from the training set as the parts
        of the series are from each other. `percentile_1`, the same of first percentiles. `neighbours`, the ratio that
        real windows have to those that overlap them: a model of the series itself comes near such windows as well.
    """
    sd = train.windows.std((0, 1))
    real, drawn = _rows(train.windows / sd), _rows(generated / sd)
    ours = nearest(drawn, real)
    apart = nearest(real, real, excluded=train.reach)
    beside = nearest(real, real, excluded=1)
    return {
        "ratio": float(np.median(ours) / np.median(apart)),
        "percentile_1": float(np.percentile(ours, 1) / np.percentile(apart, 1)),
        "neighbours": float(np.median(beside) / np.median(apart)),
    }


def nearest(rows: Array, others: Array, excluded: int = 0) -> NDArray[np.float64]:
    """Distance of every row to the nearest other one, numbers that differ by less than `excluded` left out.

    Infinite where none is left.
    """
    squares = np.einsum("nd,nd->n", others, others)
    found = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        distance = squares - 2 * part @ others.T  # the square, but for the part's own, which decides nothing
        if excluded:
            apart = np.abs(np.arange(start, start + len(part))[:, None] - np.arange(len(others)))
            distance[apart < excluded] = np.inf
        choice = distance.argmin(1)
        exact = np.sqrt(np.square(part - others[choice].astype(np.float64)).sum(1))
        found[start : start + len(part)] = np.where(np.isinf(distance.min(1)), np.inf, exact)
    return found


def _rows(windows: Array) -> Array:
    return np.ascontiguousarray(windows, dtype=np.float32).reshape(len(windows), -1)
