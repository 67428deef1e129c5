"""sd-evaluate --sweep: the grid, the ranking, the files, going on after a kill, and who picks up the best."""

from __future__ import annotations

import csv
import errno
import gc
import json
import re
import shutil
import tomllib
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import sd_core.cli.evaluate
import sd_core.cli.sample
from sd_core.components import Component
from sd_core.config.read import read_run
from sd_core.discovery import PluginRecord
from sd_core.errors import SdError
from sd_core.judging.quick import quick_scores
from sd_core.judging.ranking import places
from sd_core.options import NoOptions
from sd_core.registry import Registry
from sd_core.run.cells import Axes
from sd_core.run.console import counting
from sd_core.run.sample import LoadedRun, generate, load_run
from sd_core.run.sweep import Swept, sweep
from sd_core.run.train import train
from sd_core.task import Score, Windows
from sd_core.testing.judges import judging_registry
from sd_core.testing.toys import toy_config, write_toy_windows

Command = Callable[..., Result]


class Plot:
    """A report that is asked for by sweeps."""

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, evaluation: Mapping[str, Any], windows: Mapping[str, Windows], out: Path) -> Path:
        assert not windows
        path = out / "sweep.svg"
        path.write_text(json.dumps([entry["title"] for entry in evaluation["settings"]]))
        return path


def registry() -> Registry:
    plot = Component(name="sweep", summary="s", factory=f"{__name__}:Plot")
    return judging_registry(
        PluginRecord(name="plots", distribution="plots", version="0", components={"reports": (plot,)})
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A toy without and one with a condition, after two and four steps."""
    folder = tmp_path_factory.mktemp("swept")
    data = write_toy_windows(folder / "data")
    for name in ("none", "classes"):
        file = folder / f"{name}.toml"
        tables = {"conditioning": {"width": 8}} if name == "classes" else {}
        training = {"ema_profiles": [0.05, 0.1]}
        file.write_text(toy_config(data, **tables, model={"conditioning": name}, training=training))
        train(read_run(file, (), registry()), folder / name, registry=registry())
    return {name: folder / name for name in ("none", "classes")}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    for module in ("sd_core.run.sweep", "sd_core.run.sample", "sd_core.registry"):
        monkeypatch.setattr(f"{module}.discover", registry)
    return lambda main, *arguments: CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def titles(swept: Swept) -> set[str]:
    return {entry["title"] for entry in swept.content["settings"]}


SMALL = Axes(samplers=("heun", "euler"), steps=(1, 2), ema=(0.05,))


def test_the_default_grid_leaves_out_what_a_run_cannot_do(runs: dict[str, Path], tmp_path: Path) -> None:
    plain = sweep(runs["none"], Axes(), out=tmp_path / "none", count=2, registry=registry())
    assert titles(plain) == {
        f"checkpoint-4, EMA {ema}, {sampler} 2" for ema in ("0.05", "0.1") for sampler in ("heun", "dpm++")
    }
    guided = sweep(
        runs["classes"], Axes(ema=(0.1,), samplers=("euler",)), out=tmp_path / "c", count=2, registry=registry()
    )
    ends = {title.removeprefix("checkpoint-4, EMA 0.1, euler 2") for title in titles(guided)}
    assert ends == {"", *(f", guidance {scale}{place}" for scale in (1.5, 2.5) for place in ("", " in 0.1-0.7"))}


def test_it_leaves_a_record_a_table_a_plot_and_the_best(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = Axes(snapshots=("all",), samplers=("heun",), steps=(1, 2), ema=(0.05,))
    swept = sweep(runs["none"], axes, out=tmp_path, count=6, registry=registry(), counting=counting)
    assert "sweeping 4 settings, windows 24/24, after" in capsys.readouterr().err
    assert [path.name for path in swept.files] == ["sweep.json", "sweep.csv", "best.toml", "sweep.svg"]
    settings = swept.content["settings"]
    assert len(settings) == 4
    ratios = [max(entry["values"]["spread"] / swept.content["floor"]["spread"], 1) for entry in settings]
    assert ratios == sorted(ratios)
    assert [entry["excess"] for entry in settings] == pytest.approx(ratios)
    assert [entry["ratios"]["spread"] for entry in settings] == pytest.approx(ratios)
    assert {entry["evaluations"] for entry in settings} == {1.0, 3.0}
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "floor"]
    assert float(rows[0]["spread"]) == settings[0]["values"]["spread"]
    assert {path.parent for path in swept.files} == {tmp_path, runs["none"]}
    best = tomllib.loads((runs["none"] / "best.toml").read_text())  # where --best looks for it
    assert best["checkpoint"] == settings[0]["checkpoint"]
    assert best["inference"] == settings[0]["inference"]
    assert json.loads((tmp_path / "sweep.svg").read_text()) == [entry["title"] for entry in settings]
    assert any("absent is left out" in note for note in swept.content["notes"])


def test_every_setting_sees_the_same_noise(runs: dict[str, Path], tmp_path: Path) -> None:
    swept = sweep(runs["none"], SMALL, out=tmp_path, count=6, registry=registry())
    assert len(swept.content["settings"]) == 4
    for entry in swept.content["settings"]:
        chosen = [f"inference.{key}={json.dumps(value)}" for key, value in entry["inference"].items()]
        windows = generate(load_run(runs["none"], chosen, registry=registry()), 6)
        held_out = load_run(runs["none"], registry=registry()).split("validation")
        real = held_out.signals(range(6))  # type: ignore[union-attr]
        assert entry["values"]["spread"] == pytest.approx(abs(float(windows.signal.std() - real.std())), rel=1e-5)


def test_a_sweep_that_was_killed_goes_on(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def counted(*arguments: Any, **named: Any) -> Windows:
        drawn.append(1)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return generate(*arguments, **named)

    monkeypatch.setattr("sd_core.run.sweep.generate", counted)
    (runs["none"] / "best.toml").unlink(missing_ok=True)
    with pytest.raises(KeyboardInterrupt):
        sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry())
    assert not (runs["none"] / "best.toml").exists()
    swept = sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry())
    assert len(drawn) == 3 + 2
    whole = sweep(runs["none"], SMALL, out=tmp_path / "whole", count=3, registry=registry())
    assert swept.content["settings"] == whole.content["settings"]
    # A larger grid computes what is new only; other windows are another sweep.
    drawn.clear()
    drawn += [0] * 10
    sweep(
        runs["none"],
        Axes(samplers=("heun", "euler"), steps=(1, 2, 3), ema=(0.05,)),
        out=tmp_path,
        count=3,
        registry=registry(),
    )
    assert len(drawn) == 10 + 2
    sweep(runs["none"], SMALL, out=tmp_path, count=4, registry=registry())
    assert len(drawn) == 10 + 2 + 4
    assert (tmp_path / "sweep.before.json").is_file()


def test_numbers_that_are_not_finite_come_last(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(loaded: Any, count: int, **named: Any) -> Windows:
        windows = generate(loaded, count, **named)
        if loaded.run.config.inference.sampler == "heun":
            windows.signal[0, 0, 0] = np.inf
        return windows

    monkeypatch.setattr("sd_core.run.sweep.generate", broken)
    swept = sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry())
    assert [entry["inference"]["sampler"] for entry in swept.content["settings"]] == ["euler", "euler", "heun", "heun"]
    assert sum("not finite" in note for note in swept.content["notes"]) == 2


def test_a_metric_that_raises_costs_its_score_and_nothing_else(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fragile(name: str, *windows: Any, **named: Any) -> dict[str, float]:
        asked.append(1)
        if len(asked) == 2:  # the floor comes first
            raise ValueError("singular\nmatrix")
        return quick_scores(name, *windows, **named)

    monkeypatch.setattr("sd_core.run.sweep.quick_scores", fragile)
    for _ in range(2):  # a resumed sweep does not meet it again
        swept = sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry())
        assert [entry["values"] is None for entry in swept.content["settings"]] == [False, False, False, True]
        (note,) = [note for note in swept.content["notes"] if "could not be scored" in note]
        assert "EMA 0.05, heun 1 could not be scored by spread (ValueError: singular)" in note
        assert len(asked) == 5


class Obedient:
    """A score of a label alone."""

    scores: Mapping[str, Score] = {"label": Score("Label", column="label")}

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, *_windows: Windows) -> dict[str, float]:
        return {"label": 0.5}


@pytest.mark.parametrize("conditioning", ["none", "classes"])
def test_a_floor_stands_beside_scores_only(runs: dict[str, Path], tmp_path: Path, conditioning: str) -> None:
    metric = Component(name="obedient", summary="s", factory=f"{__name__}:Obedient")
    offered = judging_registry(
        PluginRecord(name="more", distribution="more", version="0", components={"metrics": (metric,)})
    )
    axes = replace(SMALL, samplers=("euler",), steps=(1,), scales=(1.0,))
    swept = sweep(runs[conditioning], axes, out=tmp_path, count=3, registry=offered)
    keys = {"spread"} | ({"obedient.label"} if conditioning == "classes" else set())
    assert set(swept.content["settings"][0]["values"]) == keys
    assert set(swept.content["floor"]) == keys


def test_a_floor_that_failed_is_said_and_tried_again(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> dict[str, float]:
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr("sd_core.run.sweep.quick_scores", fail)
        swept = sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry())
    assert any(
        note.startswith("real training windows could not be scored by spread") for note in swept.content["notes"]
    )
    assert sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry()).content["floor"]


def test_one_network_at_a_time_is_loaded(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[weakref.ref[Any]] = []

    def watched(*arguments: Any, **named: Any) -> LoadedRun:
        gc.collect()
        assert [one for one in networks if one() is not None] == []
        loaded = load_run(*arguments, **named)
        networks.append(weakref.ref(loaded.assembly.network))
        return loaded

    monkeypatch.setattr("sd_core.run.sweep.load_run", watched)
    sweep(runs["none"], Axes(samplers=("euler",)), out=tmp_path, count=2, registry=registry())
    assert len(networks) == 1 + 2


def test_a_full_disk_is_one_sentence(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(SdError, match=r"sweep\.json: No space left on device; make room and sweep again"):
            sweep(runs["none"], SMALL, out=tmp_path, count=3, registry=registry())


def test_a_checkpoint_alone_gets_no_best(runs: dict[str, Path], tmp_path: Path) -> None:
    alone = shutil.copytree(runs["none"] / "checkpoint-4", tmp_path / "alone")
    swept = sweep(alone, SMALL, out=tmp_path / "out", count=2, registry=registry())
    assert not list(tmp_path.rglob("best.toml"))
    assert any("--best needs a run directory" in note for note in swept.content["notes"])


def test_a_floor_of_nothing_counts_a_twentieth_of_the_median() -> None:
    scores: Mapping[str, Mapping[str, Any]] = {"far": {"ideal": 0.0, "alarm": None}}
    found = places([{"far": 1.0}, {"far": 2.0}, {"far": 4.0}], {"far": 0.0}, scores)
    assert [place.ratios for place in found] == [{"far": pytest.approx(ratio)} for ratio in (10.0, 20.0, 40.0)]


def test_a_ringing_guard_comes_after_all_others() -> None:
    scores: Mapping[str, Mapping[str, Any]] = {
        "far": {"ideal": 0.0, "alarm": None},
        "copies": {"ideal": 1.0, "alarm": 0.7},
    }
    settings: list[Mapping[str, float] | None] = [
        {"far": 1.0, "copies": 0.2},
        {"far": 4.0, "copies": 1.0},
        {"far": 2.0, "copies": 0.9},
        None,
    ]
    found = places(settings, {"far": 1.5, "copies": 1.0}, scores)
    assert [place.alarms for place in found] == [("copies",), (), (), ()]
    assert [round(place.excess, 3) for place in found[:3]] == [1.0, 2.667, 1.333]
    assert sorted(range(4), key=lambda i: found[i].key) == [2, 1, 3, 0]


def test_the_command_finds_the_best_and_others_take_it(runs: dict[str, Path], tmp_path: Path, command: Command) -> None:
    run = runs["classes"]
    axes = [
        "--cfg-scale",
        "1,2",
        "--guidance-interval",
        "0.2-0.8",
        "--sampler",
        "euler",
        "--steps",
        "1, 2",
        "--ema",
        "0.1",
    ]
    done = command(sd_core.cli.evaluate.main, "--sweep", run, "-n", 3, *axes, "--snapshots", "2,4")
    assert done.exit_code == 0, done.output
    assert "guidance 2 in 0.2-0.8" in done.output
    assert "Ranked by the geometric mean" in " ".join(done.output.split())
    best = tomllib.loads((run / "best.toml").read_text())
    sampled = command(sd_core.cli.sample.main, run, "-n", 2, "--best", "-o", tmp_path / "out")
    assert sampled.exit_code == 0, sampled.output
    assert f'best.toml: {best["checkpoint"]}, sampler="euler"' in " ".join(sampled.output.split())
    with np.load(tmp_path / "out" / "windows.npz") as file:
        provenance = json.loads(str(file["provenance"]))
    assert provenance["checkpoint"] == best["checkpoint"]
    assert {key: provenance[key] for key in best["inference"] if key != "ema"} == {
        key: value for key, value in best["inference"].items() if key != "ema"
    }
    judged = command(
        sd_core.cli.evaluate.main, run, "--best", "-n", 4, "-o", tmp_path / "j", "--set", "inference.cfg_scale=3.0"
    )
    assert judged.exit_code == 0, judged.output
    card = json.loads((tmp_path / "j" / "metrics.json").read_text())["card"]
    assert card["cfg_scale"] == 3.0  # what is set by hand wins
    assert card["denoising_steps"] == best["inference"]["denoising_steps"]


@pytest.mark.parametrize(
    ("run", "flags", "problem"),
    [
        ("none", ["--sampler", "huen"], "sampler 'huen' is not known; did you mean 'heun'"),
        ("none", ["--ema", "0.2"], "--ema 0.2: .*checkpoint-4 keeps no such average; there: 0.05, 0.1"),
        ("none", ["--cfg-scale", "1,2"], "--cfg-scale: this run was trained with conditioning = 'none'"),
        ("none", ["--guidance-interval", "0-0.5"], "--guidance-interval: .* nothing to guide away from"),
        ("classes", ["--guidance-interval", "0.9-0.5"], "must rise from low to high"),
        ("classes", ["--guidance-interval", "0.9"], "write intervals such as"),
        ("none", ["--steps", "ten"], "--steps ten: write whole numbers"),
        ("none", ["--steps", "0"], "denoising_steps"),
        ("none", ["--snapshots", "3"], "no checkpoint of that step; steps there: 2, 4"),
        ("none", ["--best"], "leave one of them out"),
        ("none", ["--set", 'evaluation.metrics=["absent"]'], "no metric is left"),
    ],
)
def test_a_slip_is_one_sentence_before_anything_is_drawn(
    runs: dict[str, Path],
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    *,
    run: str,
    flags: list[str],
    problem: str,
) -> None:
    monkeypatch.setattr("sd_core.run.sweep.generate", lambda *_, **__: pytest.fail("too late"))
    done = command(sd_core.cli.evaluate.main, "--sweep", runs[run], *flags, "-o", runs[run].parent / "nothing")
    assert done.exit_code == 2, done.output
    assert re.search(problem, " ".join(done.output.split())), done.output
    assert not (runs[run].parent / "nothing").exists()


def test_without_a_sweep_its_flags_and_its_best_are_refused(
    runs: dict[str, Path], tmp_path: Path, command: Command
) -> None:
    done = command(sd_core.cli.evaluate.main, runs["none"], "--steps", "3")
    assert "--steps belongs to --sweep" in done.output
    done = command(sd_core.cli.sample.main, runs["none"] / "checkpoint-4", "--best")
    assert "name the run directory" in done.output
    done = command(sd_core.cli.sample.main, tmp_path, "--best")
    assert done.exit_code == 2
    assert "sd-evaluate --sweep" in done.output
    (tmp_path / "best.toml").write_text('checkpoint = "checkpoint-9"\n[inference]\nsampler = "heun"\n')
    assert "checkpoint-9, which is gone" in " ".join(
        command(sd_core.cli.sample.main, tmp_path, "--best").output.split()
    )
    (tmp_path / "best.toml").write_text("checkpoint = ")
    assert "is damaged" in command(sd_core.cli.sample.main, tmp_path, "--best").output
