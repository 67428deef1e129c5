"""Scores in the middle of a training: they are logged, and nothing in them ends a training or changes a bit of it."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sd_core.components import Component
from sd_core.config.read import read_run
from sd_core.discovery import PluginRecord
from sd_core.judging.quick import in_a_line
from sd_core.options import NoOptions
from sd_core.registry import Registry
from sd_core.run.console import Bar
from sd_core.run.drawing import Drawer
from sd_core.run.harmless import Harmless, undisturbed
from sd_core.run.heldout import HeldOut
from sd_core.run.logs import JsonLines
from sd_core.run.train import train
from sd_core.task import Score, Windows
from sd_core.testing.judges import judging_registry
from sd_core.testing.toys import toy_config, write_toy_windows


class Metric:
    """One score, nothing else."""

    name = ""
    slow = False

    def __init__(self, options: NoOptions) -> None:
        del options
        self.scores: Mapping[str, Score] = {self.name: Score(self.name)}


class Vandal(Metric):
    """Changes everything that a whole process shares."""

    name = "vandal"

    def __call__(self, *_windows: Windows) -> dict[str, float]:
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        return {"vandal": 1.0}


class Raising(Metric):
    """Fails."""

    name = "raising"

    def __call__(self, *_windows: Windows) -> dict[str, float]:
        raise KeyError("nobody expected this")


class Hungry(Metric):
    """Asks for more memory than there is."""

    name = "hungry"

    def __call__(self, *_windows: Windows) -> dict[str, float]:
        return {"hungry": float(torch.zeros(2**55).sum())}


class Slow(Metric):
    """Takes minutes, it says."""

    name = "slow"
    slow = True

    def __call__(self, *_windows: Windows) -> dict[str, float]:
        return {"slow": 2.0}


class Obedient(Metric):
    """One score for everybody, one of a label."""

    name = "obedient"

    def __init__(self, options: NoOptions) -> None:
        super().__init__(options)
        self.scores = {**self.scores, "gender": Score("Gender", column="gender"), "label": Score("L", column="label")}

    def __call__(self, *_windows: Windows) -> dict[str, float]:
        return dict.fromkeys(self.scores, 0.5)


def registry() -> Registry:
    metrics = tuple(
        Component(name=kind.name, summary="s", factory=f"{__name__}:{kind.__name__}")
        for kind in (Vandal, Raising, Hungry, Slow, Obedient)
    )
    return judging_registry(PluginRecord(name="bad", distribution="bad", version="0", components={"metrics": metrics}))


TRAINING: Mapping[str, object] = {
    "max_train_steps": 6,
    "checkpoint_interval": 3,
    "eval_num_steps": 2,
    "eval_num_pictures": 1,
}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("toy") / "data")


def trained(
    windows: Path,
    out: Path,
    *,
    resume: str | None = None,
    evaluation: Mapping[str, object] | None = None,
    **training: object,
) -> list[dict[str, Any]]:
    """Train a conditional toy; returns the lines of its log."""
    file = out.parent / "run.toml"
    tables: dict[str, Mapping[str, object]] = {
        "training": {**TRAINING, **training},
        "model": {"conditioning": "classes", "extras": {"dropout_rate": 0.3}},
        "evaluation": evaluation or {},
    }
    file.write_text(toy_config(windows, **tables))
    train(read_run(file, (), registry()), out, resume_from=resume, registry=registry())
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path, step: int = 6) -> dict[str, torch.Tensor]:
    files = sorted((out / f"checkpoint-{step}").glob("*.safetensors"))
    return {f"{file.name}:{name}": value for file in files for name, value in load_file(file).items()}


def assert_same_weights(one: Path, other: Path) -> None:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


@pytest.fixture(scope="module")
def plain(windows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without scores."""
    out = tmp_path_factory.mktemp("plain") / "run"
    trained(windows, out)
    return out


def test_scores_are_logged_and_the_training_is_the_same_to_the_bit(
    windows: Path, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = trained(windows, tmp_path / "run", eval_num_windows=5)
    assert_same_weights(plain, tmp_path / "run")
    scored = [line for line in lines if "eval/spread" in line]
    assert [line["step"] for line in scored] == [2, 4, 6]
    assert len({line["eval/spread"] for line in scored}) == 3  # the model moves
    assert len({line["floor/spread"] for line in scored}) == 1  # the floor does not
    assert scored[0]["eval/vandal"] == 1.0
    # Those that fail are missing, and said once each; a slow one is not asked.
    assert not any("raising" in name or "slow" in name or "hungry" in name for line in lines for name in line)
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "'raising'" in text and "score" in text] == [
        "the score 'raising' failed, and the training goes on without it: KeyError: 'nobody expected this'"
    ]
    assert sum("the score 'hungry' failed" in text for text in said) == 1
    assert sum("absent is left out: metric 'absent' needs no_such_module" in text for text in said) == 1


def test_metrics_that_are_named_are_taken_however_slow(windows: Path, plain: Path, tmp_path: Path) -> None:
    lines = trained(windows, tmp_path / "run", evaluation={"metrics": ["slow"]}, eval_num_windows=2)
    assert {name for line in lines for name in line if "/" in name} == {"eval/slow", "floor/slow"}
    assert_same_weights(plain, tmp_path / "run")


def test_a_score_and_its_floor_are_logged_together(windows: Path, tmp_path: Path) -> None:
    lines = trained(windows, tmp_path / "run", evaluation={"metrics": ["obedient"]}, eval_num_windows=2)
    names = {name for line in lines for name in line if "/" in name}
    # Training windows have a gender; drawn ones are asked for a class alone.
    assert names == {f"{group}/obedient{key}" for group in ("eval", "floor") for key in ("", ".label")}


def test_the_scores_are_shown_in_one_line(windows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = trained(windows, tmp_path / "run", evaluation={"metrics": ["spread"]}, eval_num_windows=5)
    score, floor = next((line["eval/spread"], line["floor/spread"]) for line in lines if "eval/spread" in line)
    factor = max(1.0, score / max(floor, score / 20))
    shown = [line for line in capsys.readouterr().err.splitlines() if "spread" in line]
    assert shown[0] == f"step 2/6  error {factor:.2f} x floor  spread {score:.3g} ({floor:.3g})"
    assert len(shown) == 3


def test_a_line_names_the_worst_and_the_guards_that_ring() -> None:
    scores = {name: {"ideal": 0.0, "alarm": None} for name in "abcd"} | {"copies": {"ideal": 0.0, "alarm": 0.5}}
    values = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 0.125, "copies": 0.9}
    line = in_a_line(values, dict.fromkeys(scores, 1.0), scores)
    assert line == "error 1.68 x floor  b 4 (1)  c 2 (1)  a 1 (1)  ALARM copies 0.9 (limit 0.5)"
    assert in_a_line({"a": 1.0}, {}, scores) == "a 1"


def test_a_named_metric_that_cannot_be_used_ends_nothing(
    windows: Path, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(windows, tmp_path / "run", evaluation={"metrics": ["absent"]}, eval_num_windows=2)
    assert_same_weights(plain, tmp_path / "run")
    assert sum("needs no_such_module" in record.getMessage() for record in caplog.records) == 1


def test_resuming_writes_the_same_scores(windows: Path, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"evaluation": {"metrics": ["spread"]}, "eval_num_windows": 3}
    trained(windows, tmp_path / "whole", **chosen)
    trained(windows, tmp_path / "parts", **chosen, max_train_steps=3)
    trained(windows, tmp_path / "parts", **chosen, resume="latest")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    one, other = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "parts"))
    assert one == other


@pytest.mark.parametrize("broken", ["drawing", "held-out", "pictures", "log", "terminal"])
def test_whatever_fails_in_an_evaluation_the_training_goes_on(
    windows: Path,
    plain: Path,
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise (
            OSError(28, "No space left on device") if broken in ("pictures", "log") else torch.OutOfMemoryError("gone")
        )

    write = JsonLines.write

    def full(self: JsonLines, values: Mapping[str, float | int | str]) -> None:
        fail() if "val_loss" in values or "eval/spread" in values else write(self, values)

    match broken:
        case "drawing":
            monkeypatch.setattr(Drawer, "examples", fail)
        case "held-out":
            monkeypatch.setattr(HeldOut, "loss_sum", fail)
        case "pictures":
            monkeypatch.setattr("sd_core.run.previews.save_grid", fail)
        case "log":
            monkeypatch.setattr(JsonLines, "write", full)
        case "terminal":
            monkeypatch.setattr(Bar, "scored", fail)
    evaluation = {"metrics": ["spread"]}
    lines = trained(windows, tmp_path / "run", evaluation=evaluation, eval_num_windows=2)
    assert_same_weights(plain, tmp_path / "run")
    said = [record.getMessage() for record in caplog.records if "the training goes on" in record.getMessage()]
    assert said
    assert len(said) == len(set(said)) <= 2
    expected = {
        "drawing": {"val_loss"},
        "held-out": {"eval/spread"},
        "pictures": {"val_loss", "eval/spread"},
        "log": set(),
        "terminal": {"val_loss", "eval/spread"},
    }
    assert {name for line in lines for name in line} & {"val_loss", "eval/spread"} == expected[broken]


def test_what_a_stranger_changes_is_put_back() -> None:
    def state() -> tuple[Any, ...]:
        settings = (torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision())
        return random.random(), np.random.rand(), float(torch.rand(())), *settings

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = state()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with undisturbed():
        Vandal(NoOptions())()
    assert state() == before


def test_what_fails_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    harmless = Harmless()
    assert [harmless.attempt("this", lambda: 1 // 0) for _ in range(3)] == [None] * 3
    assert harmless.attempt("that", lambda: 3) == 3
    with caplog.at_level(logging.WARNING):
        assert len(caplog.records) == 1
    with pytest.raises(KeyboardInterrupt):
        harmless.attempt("a person", _interrupted)


def _interrupted() -> None:
    raise KeyboardInterrupt


def test_windows_without_an_occasion_are_noted(windows: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(toy_config(windows, training={"eval_num_windows": 3}))
    assert any("eval_num_windows does nothing" in notice for notice in read_run(file, (), registry()).notices)
