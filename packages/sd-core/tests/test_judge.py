"""judge: everybody is compared at the same number of windows, and what is undefined says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sd_core.errors import SdError
from sd_core.judging.gather import fingerprint, usable_metrics
from sd_core.judging.judge import INDEPENDENT, floor_for, judge, subset
from sd_core.task import Score, Windows
from sd_core.testing.metric import toy_windows
from sd_core.testing.toys import toy_registry


class Recorder:
    """A metric that notes what it is shown and scores the difference of amplitudes."""

    def __init__(self, **facts: Any) -> None:
        self.scores: Mapping[str, Score] = {"spread": Score("Spread", "uV", **facts)}
        self.seen: list[tuple[Windows, Windows, Windows]] = []

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        self.seen.append((real, generated, train))
        return {"spread": float(abs(generated.signal.std() - real.signal.std()))}


def test_all_candidates_have_the_same_number_of_windows() -> None:
    metric = Recorder()
    result = judge(toy_windows(1, 7), toy_windows(2, 9), toy_windows(3, 30), {"spread": metric}, seed=0)
    assert [len(generated) for _, generated, _ in metric.seen] == [9, 9, 9, 9]
    assert {len(real) for real, _, _ in metric.seen} == {7}
    assert result["counts"] == {"real": 7, "train": 30, "generated": 9, "compared": 9, "subjects": 1}


def test_more_generated_than_training_windows_are_thinned() -> None:
    metric = Recorder()
    judge(toy_windows(1), toy_windows(2, 20), toy_windows(3, 6), {"spread": metric}, seed=0)
    assert {len(generated) for _, generated, _ in metric.seen} == {6}


def test_the_floor_is_real_training_data() -> None:
    metric = Recorder()
    train = toy_windows(3, 9)
    judge(toy_windows(1), toy_windows(2, 9), train, {"spread": metric}, seed=0)
    np.testing.assert_array_equal(metric.seen[1][1].signal, train.signal)


def test_a_guard_has_the_held_out_windows_as_its_floor() -> None:
    metric, real = Recorder(alarm=5.0, alarm_means="x"), toy_windows(1)
    judge(real, toy_windows(2), toy_windows(3), {"spread": metric}, seed=0)
    assert metric.seen[1][1] is real


def test_an_entry_holds_all_that_a_reader_needs() -> None:
    result = judge(toy_windows(1), toy_windows(2), toy_windows(3), {"spread": Recorder()}, seed=0)
    entry = result["scores"]["spread"]
    assert (entry["title"], entry["unit"], entry["ideal"]) == ("Spread", "uV", 0.0)
    assert set(entry["surrogates"]) == {"phase_randomised", "gaussian"} == set(result["references"]) - {"floor"}
    assert all(isinstance(value, float) for value in (entry["value"], entry["floor"], *entry["surrogates"].values()))
    json.dumps(result, allow_nan=False)


def test_scores_carry_the_name_of_their_metric() -> None:
    result = judge(toy_windows(1), toy_windows(2), toy_windows(3), {"mine": Recorder()}, seed=0)
    assert list(result["scores"]) == ["mine.spread"]


def test_a_spatial_score_of_independent_electrodes_is_not_computed() -> None:
    metric = Recorder(spatial=True)
    result = judge(toy_windows(1), toy_windows(2), toy_windows(3), {"spread": metric}, seed=0, joint=False)
    assert not metric.seen
    assert result["scores"]["spread"]["value"] is None
    assert result["scores"]["spread"]["note"] == INDEPENDENT
    assert result["verdict"] == ["Not defined for these windows: spread (electrodes are generated independently)."]


def test_a_number_that_is_not_finite_becomes_none() -> None:
    def broken(real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        return {"spread": float("nan")}

    broken.scores = {"spread": Score("Spread")}  # type: ignore[attr-defined]
    result = judge(toy_windows(1), toy_windows(2), toy_windows(3), {"spread": broken}, seed=0)  # type: ignore[dict-item]
    assert result["scores"]["spread"]["value"] is None


def test_the_same_seed_gives_the_same_numbers() -> None:
    def run(seed: int) -> Any:
        return judge(toy_windows(1), toy_windows(2, 8), toy_windows(3), {"spread": Recorder()}, seed=seed)["scores"]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_other_electrodes_are_refused_with_both_sides() -> None:
    with pytest.raises(SdError, match=r"generated windows have 3 channels.*held-out ones 6 channels"):
        judge(toy_windows(1), toy_windows(2, n_channels=3), toy_windows(3), {}, seed=0)
    names = replace(toy_windows(2).info, channel_names=("A", "B", "C", "D", "E", "F"))
    with pytest.raises(SdError, match="cannot be compared"):
        judge(toy_windows(1), replace(toy_windows(2), info=names), toy_windows(3), {}, seed=0)


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(SdError, match="no held-out windows"):
        judge(subset(toy_windows(1), []), toy_windows(2), toy_windows(3), {}, seed=0)


def test_the_fingerprint_is_of_the_content() -> None:
    assert fingerprint(toy_windows(1)) == fingerprint(toy_windows(1))
    assert fingerprint(toy_windows(1)) != fingerprint(toy_windows(2))


def test_without_any_metric_the_way_to_one_is_named() -> None:
    with pytest.raises(SdError, match=r"pip install 'sd-data\[eval\]'"):
        usable_metrics(toy_registry(), (), {})


def of_people(count: int, each: int = 4, corpus: str | None = None) -> Windows:
    """Windows of several people, by their columns."""
    windows = toy_windows(count, count * each)
    columns = {"subject": [f"S{row // each}" for row in range(len(windows))], "state": ["rest"] * len(windows)}
    return replace(windows, columns=columns if corpus is None else {**columns, "corpus": [corpus] * len(windows)})


@pytest.mark.parametrize("told", [True, False])
def test_model_floor_and_surrogates_say_alike_whose_they_are(told: bool) -> None:
    metric, train = Recorder(), of_people(6, corpus="a")
    generated = of_people(5) if told else replace(of_people(5), columns={"state": ["rest"] * 20})
    judge(of_people(4), generated, train, {"spread": metric}, seed=0)
    shown = [made.columns for _, made, _ in metric.seen]
    assert [set(columns) & {"subject", "corpus"} for columns in shown] == [{"subject"} if told else set()] * 4
    assert "state" in shown[1]  # a label is no person
    assert {len(made.people) for made in (real for real, _, _ in metric.seen)} == {4}
    if told:
        assert shown[1]["subject"] == shown[2]["subject"] == shown[3]["subject"]


def test_a_single_person_is_no_grouping() -> None:
    metric = Recorder()
    judge(of_people(4), replace(of_people(5), columns={"subject": ["S0"] * 20}), of_people(6), {"s": metric}, seed=0)
    assert not any(metric.seen[place][1].people for place in (1, 2, 3))


def test_check_ups_and_sweeps_draw_the_floor_of_the_judge() -> None:
    metric, train = Recorder(), of_people(9)
    judge(of_people(4), of_people(5), train, {"spread": metric}, seed=3)
    drawn = floor_for(of_people(5).columns, 20, train, 3)
    np.testing.assert_array_equal(drawn.signal, metric.seen[1][1].signal)
    assert drawn.columns == metric.seen[1][1].columns


def test_people_of_one_name_in_two_corpora_are_two() -> None:
    one, other = of_people(2, corpus="a"), of_people(2, corpus="b")
    both = replace(
        one,
        signal=np.concatenate([one.signal, other.signal]),
        columns={name: [*one.columns[name], *other.columns[name]] for name in one.columns},
    )
    assert judge(both, toy_windows(1), toy_windows(2), {}, seed=0)["counts"]["subjects"] == 4
    unknown = replace(one, columns={"subject": [None] * 4 + ["S1"] * 4})
    assert judge(unknown, toy_windows(1), toy_windows(2), {}, seed=0)["counts"]["subjects"] == 1
