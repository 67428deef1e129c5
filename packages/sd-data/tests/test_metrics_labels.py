"""Whether asked-for labels can be read from generated windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sd_core.judging.judge import judge
from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.labels import LabelConsistency
from sd_data.metrics.options import LabelConsistencyOptions

INFO = SignalInfo(channel_names=("Fz", "Cz", "Oz"), n_samples=512, sfreq=125.0)
STATES = ("rest", "arithmetic") * 12


def windows(states: Sequence[str], seed: int, shown: Sequence[str] | None = None) -> Windows:
    """Noise; in windows that show rest, with alpha activity of the same strength as the noise."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((len(states), 3, 512)) * 10
    alpha = 14 * np.sin(2 * np.pi * 10 * np.arange(512) / 125 + rng.uniform(0, 6, (len(states), 1, 1)))
    signal += alpha * np.array([state == "rest" for state in shown or states])[:, None, None]
    return Windows(signal=signal.astype(np.float32), info=INFO, columns={"state": list(states)})


def consistency(generated: Windows, real: Windows | None = None, train: Windows | None = None) -> dict[str, float]:
    metric = LabelConsistency(LabelConsistencyOptions())
    return metric(real or windows(STATES, 2), generated, train or windows(STATES, 1))


def test_windows_that_show_their_label_and_windows_that_do_not() -> None:
    assert consistency(windows(STATES, 3))["state"] == 1.0
    assert consistency(windows(STATES, 3, shown=STATES[::-1]))["state"] == 0.0
    assert consistency(windows(STATES, 3, shown=["rest"] * 24))["state"] == 0.5


def test_a_label_that_real_windows_do_not_show_has_no_score() -> None:
    assert consistency(windows(STATES, 3), real=windows(STATES, 2, shown=["rest"] * 24)) == {}


@pytest.mark.parametrize("single", ["train", "generated"])
def test_a_label_with_one_value_has_no_score(single: str) -> None:
    alike = windows(["rest"] * 6, 4)
    assert consistency(**{"generated": windows(STATES, 3), single: alike}) == {}


def test_missing_labels_are_left_aside() -> None:
    generated = windows([*STATES, "?"], 3)
    generated.columns["state"][-1] = None  # type: ignore[index]
    assert consistency(generated)["state"] == 1.0


@pytest.mark.parametrize(("shown", "rings"), [(STATES, False), (["rest"] * 24, True)])
def test_the_verdict_says_when_a_model_does_not_do_what_it_is_told(shown: Sequence[str], rings: bool) -> None:
    metrics = {"label_consistency": LabelConsistency(LabelConsistencyOptions())}
    found = judge(windows(STATES, 2), windows(STATES, 3, shown), windows(STATES, 1), metrics, seed=0)
    assert list(found["scores"]) == ["label_consistency.state"]
    assert found["scores"]["label_consistency.state"]["floor"] == 1.0  # held-out windows, not those trained on
    assert ("Warning: generated windows ignore the label" in " ".join(found["verdict"])) == rings


def test_a_model_that_was_asked_for_nothing_has_no_such_row() -> None:
    unasked = Windows(signal=windows(STATES, 3).signal, info=INFO)
    metrics = {"label_consistency": LabelConsistency(LabelConsistencyOptions())}
    assert judge(windows(STATES, 2), unasked, windows(STATES, 1), metrics, seed=0)["scores"] == {}
