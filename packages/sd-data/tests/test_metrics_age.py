"""Age: read from generated windows, taught by them, beside real people and a guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sd_core.judging.judge import judge
from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.age import Age
from sd_data.metrics.options import AgeOptions

INFO = SignalInfo(channel_names=("Fz", "Cz", "Oz"), n_samples=512, sfreq=125.0)
AGE = Age(AgeOptions(regularisation=1.0))


def windows(seed: int, shown: float = 1.0, count: int = 40) -> Windows:
    """Noise that is louder the older people are, in the strength that is shown."""
    rng = np.random.default_rng(seed)
    ages = rng.uniform(20, 80, count)
    loudness = 10 * np.exp(shown * (ages - 50) / 30)
    signal = rng.standard_normal((count, 3, 512)) * loudness[:, None, None]
    columns = {"age": ages.tolist(), "subject": [f"{seed}-{row}" for row in range(count)]}
    return Windows(signal=signal.astype(np.float32), info=INFO, columns=columns)


def generated(seed: int, shown: float = 1.0) -> Windows:
    made = windows(seed, shown)
    return replace(made, columns={"age": made.columns["age"]})


REAL, TRAIN = windows(2), windows(1)


def test_ages_that_are_shown_are_read_and_taught() -> None:
    found = AGE(REAL, generated(3), TRAIN)
    assert set(found) == set(AGE.scores)
    assert max(found["age"], found["held_out"], found["tstr"]) < 3
    assert found["guess"] == pytest.approx(15, abs=4)  # a quarter of the range


def test_ages_that_are_not_shown_are_not() -> None:
    found = AGE(REAL, generated(3, shown=0.0), TRAIN)
    assert found["age"] > 10
    assert found["tstr"] > 10
    assert found["held_out"] < 3  # whatever was generated


def test_ages_that_are_shown_upside_down_are_worse_than_a_guess() -> None:
    found = AGE(REAL, generated(3, shown=-1.0), TRAIN)
    assert min(found["age"], found["tstr"]) > 1.5 * found["guess"]


def test_nobody_is_read_who_taught() -> None:
    found = AGE(REAL, replace(TRAIN), TRAIN)
    assert "age" not in found
    assert found["tstr"] == found["held_out"]
    assert AGE(windows(1), generated(3), TRAIN) == {}


def test_missing_ages_are_left_aside() -> None:
    made = generated(3)
    partly = replace(made, columns={"age": [None, *made.columns["age"][1:]]})
    assert AGE(REAL, partly, TRAIN)["age"] < 3
    assert AGE(REAL, replace(made, columns={"age": [None] * 40}), TRAIN) == {}
    assert AGE(REAL, replace(made, columns={"age": [30.0] * 40}), TRAIN) == {}


def test_the_table_has_it_only_for_models_that_were_asked() -> None:
    entries = judge(REAL, generated(3), TRAIN, {"age": AGE}, seed=0)["scores"]
    assert list(entries) == ["age", "age.held_out", "age.guess", "age.tstr"]
    assert entries["age"]["floor"] is None
    assert entries["age.tstr"]["floor"] < 3
    assert entries["age"]["interval"] is not None
    assert judge(REAL, replace(generated(3), columns={}), TRAIN, {"age": AGE}, seed=0)["scores"] == {}


def test_regularisation_changes_it() -> None:
    given = REAL, generated(3), TRAIN
    assert Age(AgeOptions(regularisation=1e5))(*given)["age"] > AGE(*given)["age"] + 3
