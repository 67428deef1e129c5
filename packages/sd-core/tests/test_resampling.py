"""Intervals: they cover what they should, follow people and not windows, and fall in with the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sd_core.judging.judge import judge
from sd_core.judging.resampling import PAIRS, freedom, groups_of, halves, interval, on_halves
from sd_core.task import Score, SignalInfo, Windows

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

Numbers = NDArray[np.float64]
INFO = SignalInfo(channel_names=("Cz",), n_samples=4, sfreq=125.0)


def people(count: int, each: int, *, level: float = 0.0, between: float = 1.0, seed: int = 0) -> Windows:
    """Windows that are one number each: a person's level and unit noise."""
    rng = np.random.default_rng([seed, count, each])
    number = level + np.repeat(between * rng.standard_normal(count), each) + rng.standard_normal(count * each)
    signal = np.repeat(number.astype(np.float32)[:, None, None], INFO.n_samples, axis=-1)
    subjects = [f"{seed}-{row // each}" for row in range(count * each)]
    return Windows(signal=signal, info=INFO, columns={"subject": subjects})


def transport(a: Numbers, b: Numbers) -> float:
    """Wasserstein-1 distance of two samples of numbers, from their quantiles."""
    at = (np.arange(100) + 0.5) / 100
    return float(np.abs(np.quantile(a, at) - np.quantile(b, at)).mean())


class Numeric:
    """A metric of windows that are numbers."""

    def __init__(self, compare: Callable[[Numbers, Numbers], float] = transport, slack: float = 0.0) -> None:
        self.scores: Mapping[str, Score] = {"shift": Score("Shift", slack=slack)}
        self.compare = compare

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        return self.scorer(real, generated, train)(np.arange(len(real)), np.arange(len(generated)))

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        del train
        theirs, ours = (np.asarray(windows.signal[:, 0, 0], dtype=np.float64) for windows in (real, generated))
        return lambda held_out, made: {"shift": self.compare(theirs[held_out], ours[made])}


def found(real: Windows, generated: Windows, seed: int = 0) -> tuple[float, float]:
    """The interval of the transport distance."""
    metric = Numeric()
    theirs, ours = halves(real, [seed, 0]), halves(generated, [seed, 1])
    score = metric.scorer(real, generated, real)
    value = metric(real, generated, real)["shift"]
    return interval(value, 0.0, on_halves(score, theirs, ours)["shift"], freedom(theirs, ours))


@pytest.mark.parametrize(("count", "each"), [(60, 1), (7, 12)])
def test_the_interval_covers_the_true_distance(count: int, each: int) -> None:
    """Numbers two apart have the distance two, whether windows are independent or of seven people."""
    covered = 0
    for trial in range(50):
        real, generated = people(count, each, seed=2 * trial), people(400, 1, level=2.0, seed=2 * trial + 1)
        low, high = found(real, generated)
        covered += low <= 2.0 <= high
    assert covered >= 43


def test_an_interval_is_as_wide_as_the_distance_varies() -> None:
    """Not merely wide enough: beside the spread of the distance over fresh draws of twenty people."""
    draws = [(people(20, 5, seed=2 * trial), people(200, 1, level=2.0, seed=2 * trial + 1)) for trial in range(60)]
    values = [Numeric()(real, generated, real)["shift"] for real, generated in draws]
    widths = [np.subtract(*found(real, generated)[::-1]) / 2 for real, generated in draws]
    assert 0.8 < np.mean(widths) / (2.09 * np.std(values)) < 1.3


def test_windows_of_one_person_are_not_independent() -> None:
    real, generated = people(8, 20, between=2.0), people(160, 1, level=3.0, seed=1)
    alone = Windows(signal=real.signal, info=real.info)
    low, high = found(real, generated)
    low_alone, high_alone = found(alone, generated)
    assert high - low > 1.5 * (high_alone - low_alone)


def test_halves_are_complementary_and_keep_people_together() -> None:
    windows = people(7, 3)
    found = halves(windows, [0])
    assert (len(found.pairs), found.groups) == (PAIRS, 7)
    for first, second in found.pairs:
        assert sorted([*first, *second]) == list(range(21))
        names = [{windows.columns["subject"][row] for row in rows} for rows in (first, second)]
        assert not names[0] & names[1]
        assert [len(half) for half in names] == [3, 4]
    taken = Counter(row for first, _ in found.pairs for row in first)
    assert len(taken) == 21


def test_windows_of_nobody_are_groups_of_their_own() -> None:
    windows = people(3, 2)
    assert groups_of(Windows(signal=windows.signal, info=INFO)) == list(range(6))
    some = Windows(signal=windows.signal, info=INFO, columns={"subject": ["a", "a", "b", "b", None, None]})
    assert groups_of(some) == [(None, "a"), (None, "a"), (None, "b"), (None, "b"), 4, 5]
    corpora = Windows(signal=windows.signal, info=INFO, columns={"subject": ["a"] * 6, "corpus": list("xxxyyy")})
    assert halves(corpora, [0]).groups == 2


def test_a_single_person_has_no_halves() -> None:
    assert halves(people(1, 6), [0]).pairs == ()
    entry = judged(people(100, 1, seed=3), real=people(1, 30))["shift"]
    assert entry["interval"] is entry["floor_interval"] is entry["margins"]["floor"] is None


def test_the_floor_is_halved_by_people_though_metrics_are_not_told_them() -> None:
    generated = people(100, 1, seed=3)
    told = judged(replace(generated, columns={}))["shift"]
    assert told["floor_interval"] == judged(generated)["shift"]["floor_interval"]


def test_the_same_seed_gives_the_same_halves() -> None:
    def rows(seed: int) -> list[list[int]]:
        return [first.tolist() for first, _ in halves(people(9, 2), [seed]).pairs]

    assert rows(1) == rows(1)
    assert rows(1) != rows(2)


def test_an_interval_does_not_cross_the_ideal_where_no_half_does() -> None:
    near = np.array([[0.1, 0.5], [0.6, 0.2]])
    assert interval(0.1, 0.0, near, 2)[0] == 0.0
    assert interval(0.1, 0.0, near - 0.3, 2)[0] < 0.0
    assert interval(0.9, 1.0, 1 - near, 2)[1] == 1.0


def test_a_score_that_some_half_does_not_define_has_no_interval() -> None:
    def score(held_out: Rows, made: Rows) -> dict[str, float]:
        del made
        return {"always": 1.0} | ({"often": 2.0} if 0 in held_out else {}) | {"broken": float("nan")}

    assert set(on_halves(score, halves(people(6, 1), [0]), halves(people(6, 1), [1]))) == {"always"}


def judged(generated: Windows, *, real: Windows | None = None, seed: int = 0) -> dict[str, dict[str, Any]]:
    held_out = people(20, 5, seed=1) if real is None else real
    scores: dict[str, dict[str, Any]] = judge(
        held_out, generated, people(20, 5, seed=2), {"shift": Numeric()}, seed=seed
    )["scores"]
    return scores


def test_an_entry_has_intervals_around_value_and_floor() -> None:
    entry = judged(people(100, 1, level=3.0, seed=3))["shift"]
    for value, ends in (("value", "interval"), ("floor", "floor_interval")):
        low, high = entry[ends]
        assert low <= entry[value] <= high
    assert entry["standing"]["floor"] is False
    assert set(entry["margins"]) == {"floor", "phase_randomised", "gaussian"}


def test_chance_between_people_is_no_failure() -> None:
    """Other people are no worse than training people in most draws; a shift of two is in all of them."""
    others = [judged(people(20, 5, seed=10 + trial), seed=trial)["shift"] for trial in range(12)]
    shifted = [judged(people(20, 5, level=2.0, seed=10 + trial), seed=trial)["shift"] for trial in range(12)]
    assert sum(entry["standing"]["floor"] is not False for entry in others) > 9
    assert not any(entry["standing"]["floor"] for entry in shifted)


def test_judging_twice_gives_the_same_intervals() -> None:
    generated = people(100, 1, level=0.5, seed=3)
    assert judged(generated, seed=4) == judged(generated, seed=4)
    assert judged(generated, seed=4) != judged(generated, seed=5)


def test_a_metric_that_is_not_resampled_has_no_interval() -> None:
    class Plain:
        scores: Mapping[str, Score] = {"shift": Score("Shift")}

        def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
            return Numeric()(real, generated, train)

    entry = judge(people(9, 2), people(9, 2, seed=1), people(9, 2, seed=2), {"shift": Plain()}, seed=0)["scores"]
    assert entry["shift"]["interval"] is None
    assert entry["shift"]["margins"] == {"floor": None, "phase_randomised": None, "gaussian": None}
    assert entry["shift"]["standing"]


def test_a_single_window_has_no_interval() -> None:
    entry = judge(people(1, 1), people(1, 1), people(1, 1), {"shift": Numeric()}, seed=0)["scores"]["shift"]
    assert entry["interval"] is None
    assert entry["value"] is not None


def test_few_people_are_warned_of() -> None:
    found = judge(people(4, 20), people(80, 1), people(8, 10, seed=2), {"shift": Numeric()}, seed=0)
    assert found["verdict"][0].startswith("Few data: the held-out windows are of 4 people only")
