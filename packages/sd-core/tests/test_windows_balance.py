"""Weights balance what they should, and the resample hits every weight."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sd_core.windows.balance import balance_weights, systematic_resample


class Table(dict[str, list[Any]]):
    def __len__(self) -> int:
        return len(next(iter(self.values())))

    def column(self, name: str) -> list[Any]:
        return self[name]


TABLE = Table(corpus=["a"] * 8 + ["b"] * 2, gender=["F"] * 6 + ["M"] * 2 + ["F", "M"])
"""Counts 6, 2, 1, 1."""


def test_every_combination_weighs_the_same() -> None:
    weights = balance_weights(TABLE, ["corpus", "gender"], power=1.0, cap=100.0)
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose([weights[:6].sum(), weights[6:8].sum(), weights[8], weights[9]], 2.5)


def test_power_goes_from_nothing_to_all() -> None:
    np.testing.assert_allclose(balance_weights(TABLE, ["corpus", "gender"], power=0.0, cap=10.0), 1)
    half = balance_weights(TABLE, ["corpus", "gender"], power=0.5, cap=10.0)
    assert half[9] / half[0] == pytest.approx(np.sqrt(6))


def test_without_columns_all_windows_are_alike() -> None:
    np.testing.assert_array_equal(balance_weights(TABLE, [], 1.0, 10.0), np.ones(10))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(1, 20))
def test_the_cap_holds_and_the_mean_stays_one(groups: list[int], cap: float) -> None:
    weights = balance_weights(Table(group=list(groups)), ["group"], 1.0, cap)
    assert weights.mean() == pytest.approx(1)
    assert weights.max() <= cap * (1 + 1e-9)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=50), st.integers(1, 80), st.floats(0, 1, exclude_max=True))
def test_a_row_is_drawn_floor_or_ceil_of_its_share(weights: list[float], n: int, u: float) -> None:
    drawn = systematic_resample(np.array(weights), n, u)
    assert drawn.dtype == np.int64
    assert len(drawn) == n
    assert (np.diff(drawn) >= 0).all()
    counts, shares = Counter(drawn.tolist()), n * np.array(weights) / np.sum(weights)
    assert all(abs(counts[row] - share) < 1 + 1e-6 for row, share in enumerate(shares))


def test_rows_of_no_weight_are_never_drawn() -> None:
    weights = np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    for u in (0.0, 0.5, np.nextafter(1.0, 0)):
        assert set(systematic_resample(weights, 7, u).tolist()) == {1, 3}


def test_equal_weights_draw_every_row_once() -> None:
    np.testing.assert_array_equal(systematic_resample(np.ones(1000), 1000, 0.999), np.arange(1000))
