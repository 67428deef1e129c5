"""What generated windows teach a classifier, by the cheap reader and by EEGNet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from sd_core.errors import SdError
from sd_core.judging.judge import judge
from sd_core.plugin import SignalInfo, Windows
from sd_core.registry import discover
from sd_data.metrics import eegnet
from sd_data.metrics.options import EegnetOptions, UsefulnessOptions
from sd_data.metrics.readers import Answers, labelled
from sd_data.metrics.usefulness import Usefulness, usefulness

INFO = SignalInfo(channel_names=("Fz", "Cz", "Oz"), n_samples=512, sfreq=125.0)
STATES = ("rest", "arithmetic") * 12
LOGISTIC = usefulness(UsefulnessOptions())
SMALL = EegnetOptions(seeds=1, steps=30, crop_s=1.5, filters=2, learning_rate=0.02)


def windows(states: Sequence[str | None], seed: int, shown: Sequence[str | None] | None = None) -> Windows:
    """Noise of a person, with alpha activity in windows that show rest."""
    rng = np.random.default_rng(seed)
    alpha = 14 * np.sin(2 * np.pi * 10 * np.arange(512) / 125 + rng.uniform(0, 6, (len(states), 1, 1)))
    resting = np.array([state == "rest" for state in shown or states])[:, None, None]
    signal = rng.standard_normal((len(states), 3, 512)) * 10 + alpha * resting
    columns: dict[str, Sequence[Any]] = {"state": list(states), "subject": [f"person {seed}"] * len(states)}
    return Windows(signal=signal.astype(np.float32), info=INFO, columns=columns)


def generated(states: Sequence[str | None], seed: int, shown: Sequence[str | None] | None = None) -> Windows:
    made = windows(states, seed, shown)
    return replace(made, columns={"state": made.columns["state"]})


HELD_OUT, TRAIN = windows(STATES, 2), windows(STATES, 1)


@pytest.fixture(scope="module", params=["logistic", "eegnet"])
def judged(request: pytest.FixtureRequest) -> Usefulness:
    return LOGISTIC if request.param == "logistic" else eegnet.usefulness(SMALL)


def test_windows_that_show_their_label_teach_it(judged: Usefulness) -> None:
    found = judged(HELD_OUT, generated(STATES * 2, 3), TRAIN)
    assert set(found) == {"state", "auc_state", "trtr_state", "trts_state", "gain_state"}
    assert found["state"] > 0.95
    assert found["auc_state"] > 0.98
    assert found["trtr_state"] > 0.95
    assert found["trts_state"] > 0.95
    assert found["gain_state"] == pytest.approx(0.0, abs=0.05)


def test_windows_that_show_the_other_label_teach_the_contrary(judged: Usefulness) -> None:
    found = judged(HELD_OUT, generated(STATES, 3, shown=STATES[::-1]), TRAIN)
    assert max(found["state"], found["auc_state"], found["trts_state"]) < 0.1
    assert found["gain_state"] < -0.02


def test_shuffled_labels_teach_nothing(judged: Usefulness) -> None:
    """Half of each label shows the other one; which way noise then points is chance, so the mean of four."""
    shown = ("rest", "rest", "arithmetic", "arithmetic") * 6
    found = [judged(HELD_OUT, generated(STATES, seed, shown=shown), TRAIN)["auc_state"] for seed in range(3, 7)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.25)


def test_generated_windows_help_where_real_ones_are_few(judged: Usefulness) -> None:
    """Four real windows, two of them mislabelled."""
    few = windows(STATES[:4], 5, shown=("rest", "rest", "arithmetic", "arithmetic"))
    found = judged(HELD_OUT, generated(STATES * 2, 3), few)
    assert found["gain_state"] > 0.2
    assert found["trtr_state"] + found["gain_state"] > 0.8


def test_training_windows_added_again_gain_nothing(judged: Usefulness) -> None:
    """What stands at the floor; and nobody is tested on what it was taught."""
    found = judged(HELD_OUT, replace(TRAIN), TRAIN)
    assert found["gain_state"] == 0.0
    assert found["state"] == found["trtr_state"]
    assert "trts_state" not in found


def test_people_of_the_training_windows_test_nobody(judged: Usefulness) -> None:
    assert judged(windows(STATES, 1), generated(STATES, 3), TRAIN) == {}


def test_labels_that_nobody_can_learn_or_test_have_no_score(judged: Usefulness) -> None:
    assert judged(HELD_OUT, replace(generated(STATES, 3), columns={}), TRAIN) == {}
    assert judged(HELD_OUT, generated(["rest"] * 24, 3), TRAIN) == {}
    assert judged(windows(["rest"] * 24, 2), generated(STATES, 3), TRAIN) == {}
    assert judged(HELD_OUT, generated([*STATES[:-1], None], 3), TRAIN)["state"] > 0.9


def test_the_order_of_windows_decides_nothing(judged: Usefulness) -> None:
    made = generated(STATES, 3)
    turned = Windows(signal=made.signal[::-1].copy(), info=INFO, columns={"state": STATES[::-1]})
    assert judged(HELD_OUT, made, TRAIN) == judged(HELD_OUT, turned, TRAIN)


def test_the_floor_is_training_on_real_windows(judged: Usefulness) -> None:
    made = generated(STATES, 3, shown=STATES[::-1])
    scores = judge(HELD_OUT, made, TRAIN, {"usefulness": judged}, seed=0)["scores"]
    assert scores["usefulness.state"]["value"] < 0.1
    assert scores["usefulness.state"]["floor"] > 0.95
    assert scores["usefulness.gain_state"]["floor"] == 0.0


@pytest.mark.parametrize("judge_of", [LOGISTIC, eegnet.usefulness(SMALL)], ids=["logistic", "eegnet"])
def test_a_model_that_was_asked_for_nothing_is_not_judged(judge_of: Usefulness) -> None:
    unasked = Windows(signal=TRAIN.signal * 2, info=INFO)
    assert judge(HELD_OUT, unasked, TRAIN, {"usefulness": judge_of}, seed=0)["scores"] == {}


def test_three_labels_are_told_apart() -> None:
    states = ("rest", "arithmetic", "sleep") * 8

    def three(seed: int) -> Windows:
        made = windows(states, seed)
        slow = 20 * np.sin(2 * np.pi * 2 * np.arange(512) / 125)
        made.signal[2::3] += slow.astype(np.float32)
        return made

    found = LOGISTIC(three(2), three(3), three(1))
    assert found["state"] > 0.95
    assert found["auc_state"] > 0.98


def test_the_area_is_that_of_the_ranks() -> None:
    """.8 and .4 are rest, .6 and .2 are not: of four pairs three are in order."""

    rest = np.array([0.8, 0.4, 0.6, 0.2])
    labels = np.array(["rest", "rest", "arithmetic", "arithmetic"])
    answers = Answers(np.arange(4), labels, np.stack([1 - rest, rest], 1), ("arithmetic", "rest"))
    assert answers.area() == pytest.approx(0.75)
    assert answers.accuracy() == pytest.approx(0.5)
    assert answers.of(np.array([0, 3])).accuracy() == 1.0
    assert not answers.of(np.array([0, 1])).several


def test_an_interval_comes_from_whom_is_tested(judged: Usefulness) -> None:
    """Asked for all rows the scorer says what the metric says; some rows are tested by the same readers."""
    made = generated(STATES, 3, shown=("rest", "arithmetic", "rest", "rest") * 6)
    score = judged.scorer(HELD_OUT, made, TRAIN)
    everybody = score(np.arange(24), np.arange(24))
    assert everybody == judged(HELD_OUT, made, TRAIN)
    halves = [score(rows, rows)["trts_state"] for rows in (np.arange(0, 12), np.arange(12, 24))]
    assert np.mean(halves) == pytest.approx(everybody["trts_state"])
    assert set(score(np.arange(0, 24, 2), np.arange(24))) == {"trts_state"}  # rest alone cannot test anybody
    only = {"usefulness.state", "usefulness.gain_state"}
    entries = judge(people(), made, TRAIN, {"usefulness": judged}, seed=0)["scores"]
    assert all(entries[key]["interval"] is not None for key in only)


def people() -> Windows:
    """Three held-out persons."""
    persons = [windows(STATES[:8], seed) for seed in (6, 7, 8)]
    columns = {name: [value for each in persons for value in each.columns[name]] for name in persons[0].columns}
    return Windows(signal=np.concatenate([each.signal for each in persons]), info=INFO, columns=columns)


def test_eegnet_repeats_with_its_seed_and_spreads_over_seeds() -> None:
    quick = SMALL.model_copy(update={"steps": 10, "seeds": 2})
    made = generated(STATES, 3)
    first, again = (eegnet.usefulness(quick)(HELD_OUT, made, TRAIN) for _ in range(2))
    assert first == again
    assert set(first) >= {"spread_state", "gain_spread_state"}
    other = eegnet.EegnetReader(quick)
    taught = [other.teach([labelled(TRAIN, "state")], 10.0, seed)(HELD_OUT, range(4)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(taught[0], taught[1])
    assert np.abs(taught[0] - taught[2]).max() > 1e-3


def test_eegnet_starts_without_an_opinion() -> None:
    """Else a short training on few people ends near the one it was drawn with: .54 instead of .72 on eegmat."""
    view = eegnet._View.of(INFO, 2.0)
    network = eegnet._network(3, 2, view, 8)
    assert network(torch.randn(4, 3, view.kept)).abs().max() == 0.0
    taught = eegnet.EegnetReader(SMALL).teach([labelled(TRAIN, "state")], 10.0, 0)
    assert np.ptp(taught(HELD_OUT, range(24))) > 0.5


def test_eegnet_leaves_torch_as_it_was() -> None:
    """Also from within a training that is being evaluated: no gradients, another seed, other flags."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    np.random.seed(5)
    numbers = np.random.get_state()[1].copy()  # type: ignore[index]
    flags = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype()
    with torch.inference_mode():
        found = eegnet.usefulness(SMALL)(HELD_OUT, generated(STATES, 3), TRAIN)
        assert not torch.is_grad_enabled()
    assert found["state"] > 0.9
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()  # type: ignore[index]
    assert flags == (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_default_dtype(),
    )


def test_loudness_can_be_read() -> None:
    """One unit for all windows: a state that is only louder is still a state."""

    def loud(seed: int) -> Windows:
        made = windows(["arithmetic"] * 24, seed)
        made.signal[::2] *= 2
        return replace(made, columns={**made.columns, "state": list(STATES)})

    assert eegnet.usefulness(SMALL)(loud(2), loud(3), loud(1))["state"] > 0.95


@pytest.mark.parametrize(
    ("option", "value"), [("steps", 20), ("crop_s", 3.0), ("filters", 3), ("learning_rate", 0.001)]
)
def test_options_of_eegnet_change_what_it_reads(option: str, value: float) -> None:
    examples = labelled(TRAIN, "state")
    plain, other = (
        eegnet.EegnetReader(options).teach([examples], 10.0, 0)(HELD_OUT, range(4))
        for options in (SMALL, EegnetOptions(**{**SMALL.model_dump(), option: value}))
    )
    assert np.abs(plain - other).max() > 1e-4


@pytest.mark.parametrize(("n_samples", "sfreq"), [(24, 125.0), (128, 125.0), (300, 250.0), (200, 100.0)])
def test_windows_of_any_length_are_read_or_left(n_samples: int, sfreq: float) -> None:
    info = SignalInfo(channel_names=("Fz",), n_samples=n_samples, sfreq=sfreq)
    cut = [
        replace(given, signal=given.signal[:, :1, :n_samples].copy(), info=info)
        for given in (HELD_OUT, generated(STATES, 3), TRAIN)
    ]
    found = eegnet.usefulness(SMALL.model_copy(update={"steps": 10}))(cut[0], cut[1], cut[2])
    assert ("state" in found) == (n_samples / sfreq > 1)


def test_collapsed_and_exploded_windows_do_no_harm(judged: Usefulness) -> None:
    for signal in (np.zeros_like(TRAIN.signal), 1e12 * TRAIN.signal):
        found = judged(HELD_OUT, replace(generated(STATES, 3), signal=signal), TRAIN)
        assert all(np.isfinite(value) for value in found.values())


def test_without_braindecode_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "braindecode", raising=False)
    monkeypatch.setattr("sd_core.registry.find_spec", lambda name: None if name == "braindecode" else find_spec(name))
    registry = discover()
    with pytest.raises(SdError, match=r"needs braindecode: pip install 'sd-data\[eval\]'"):
        registry.create("metrics", "usefulness_eegnet", EegnetOptions())
