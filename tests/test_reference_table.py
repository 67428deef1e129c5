"""The scores of real people and of surrogates are those that the judging was designed with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reference_table import Key, as_recorded, collect, draws, metrics_of, table
from benchmarks.reference_values import COLUMNS, GROUP, LOUDER, MEASURED, OTHERS, ROWS, SLOW, SPREADS, Column
from sd_core.plugin import SdError, SignalInfo, Windows
from sd_data.testing.real import MISSING, real_recordings

FAST = [column for column in COLUMNS if column.metric not in SLOW]
REPEATS = 2

Draws = dict[int, list[dict[Key, float]]]


@pytest.fixture(scope="module")
def drawn() -> Draws:
    """Two draws of five people against five, and two of all people in halves."""
    folder = real_recordings(Path(__file__)) or pytest.skip(MISSING)
    return collect(as_recorded(folder / "eegmat"), metrics_of(SLOW), REPEATS, sizes=(5,))


@pytest.mark.parametrize("column", FAST, ids=lambda column: column.title)
def test_published_values_are_reproduced_within_their_sampling_error(column: Column, drawn: Draws) -> None:
    """A single draw strays by one spread, twice in a hundred times by more than 2.4; two draws do so less."""
    found = table(drawn)
    for row in ROWS:
        spread = max(SPREADS[column.title][ROWS.index(row)], 0.02 * abs(column.published[row]), 0.003)
        assert abs(found[row, column.title].value - column.published[row]) < 2.5 * spread, row


@pytest.mark.parametrize("column", FAST, ids=lambda column: column.title)
def test_no_metric_has_drifted(column: Column, drawn: Draws) -> None:
    """The same people, the same windows: what moves by more than 3 % is defined otherwise than it was."""
    values = [float(np.mean([draw[row, column.title] for draw in drawn[10]])) for row in ROWS]
    assert values == pytest.approx(MEASURED[column.title], rel=0.03, abs=0.003)


def toy(values: Sequence[float], size: int) -> dict[int, list[dict[Key, float]]]:
    keys = [(row, column.title) for row in ROWS for column in COLUMNS]
    return {size: [dict.fromkeys(keys, value) for value in values]}


def test_a_distance_is_read_at_the_published_number_of_people() -> None:
    def value(near: float, far: float, row: str = GROUP) -> float:
        return table(toy([near, near], 10) | toy([far, far], 5))[row, "LSD dB"].value

    assert value(np.sqrt(0.1), np.sqrt(0.2)) == pytest.approx(np.sqrt(1 / 18))  # 1 / n, nothing else
    assert value(np.sqrt(1.1), np.sqrt(1.2)) == pytest.approx(np.sqrt(1 + 1 / 18))
    assert value(2.0, 2.0) == pytest.approx(2.0)
    chance = np.sqrt((0.1 * 100 + 1.0 * 25) / 15 / 18)
    assert value(np.sqrt(0.1), 1.0) == pytest.approx(chance)  # a distance does not end below zero
    assert value(np.sqrt(0.1), 1.0, OTHERS) == pytest.approx(chance)
    assert value(1.0, 1.0, OTHERS) == pytest.approx(np.sqrt(125 / 15 / 18))  # people of one population
    assert table(toy([0.4, 0.8], 10))[LOUDER, "recall"].value == pytest.approx(0.6)


def test_people_are_drawn_whole_and_stand_on_one_side() -> None:
    subjects = [f"S{number // 3}" for number in range(24)]
    info = SignalInfo(channel_names=("Cz",), n_samples=8, sfreq=125.0)
    windows = Windows(signal=np.zeros((24, 1, 8), dtype=np.float32), info=info, columns={"subject": subjects})
    pairs = [tuple(frozenset(side.columns["subject"]) for side in pair) for pair in draws(windows, 3, 4)]
    for one, other in pairs:
        assert len(one) == len(other) == 3
        assert not one & other
    assert len(set(pairs)) == 4
    with pytest.raises(SdError, match="there are 8 people, 10 are needed"):
        next(draws(windows, 5, 1))
