"""sd-evaluate on a model trained here: files, numbers, refusals, what the terminal shows."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sd_core.cli.evaluate import main
from sd_core.config.read import read_run
from sd_core.errors import SdError
from sd_core.run.drawing import Drawer
from sd_core.run.evaluate import curves, evaluate
from sd_core.run.train import train
from sd_core.testing.judges import judging_registry
from sd_core.testing.toys import TOY_SIGNAL, toy_config, write_toy_windows
from sd_core.testing.windows import write_miniature


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model after four steps."""
    folder = tmp_path_factory.mktemp("judged")
    data = write_toy_windows(folder / "data")
    config = folder / "run.toml"
    config.write_text(toy_config(data, evaluation={"num_samples": 8}))
    registry = judging_registry()
    train(read_run(config, registry=registry), folder / "run", registry=registry)
    return folder / "run"


def test_it_leaves_metrics_and_a_report_in_the_run(run_dir: Path) -> None:
    judgement = evaluate(run_dir, registry=judging_registry())
    assert [path.name for path in judgement.files] == ["metrics.json", "report.txt"]
    written = json.loads((run_dir / "metrics.json").read_text())
    assert written == judgement.evaluation
    assert written["counts"].items() >= {"real": 6, "train": 12, "generated": 8, "compared": 8}.items()
    entry = written["scores"]["spread"]
    assert entry["value"] > 0
    assert entry["floor"] < 10
    sizes, title, names = json.loads((run_dir / "report.txt").read_text())
    assert sizes == {"real": 6, "generated": 8, "train": 12}
    assert title == "run"
    assert "loss" in names


def test_the_card_says_how_it_was_drawn(run_dir: Path, tmp_path: Path) -> None:
    card = evaluate(run_dir, out=tmp_path, registry=judging_registry()).evaluation["card"]
    assert card["synthetic"] is True
    assert card["sampler"] == "heun"
    assert card["evaluations_per_example"] == 3.0  # two steps of Heun, the last one of first order
    assert card["subjects"] == {"train": 6, "test": 3}
    assert card["reference"].startswith("sha256:")
    assert card["seed"] == 1
    assert card["ema"] == "0.1"


def test_count_folder_and_settings_can_be_changed(run_dir: Path, tmp_path: Path) -> None:
    overrides = ("inference.denoising_steps=1", "evaluation.report=none", "dataset.test_split=validation")
    judgement = evaluate(run_dir, out=tmp_path / "new", count=5, overrides=overrides, registry=judging_registry())
    assert [path.parent for path in judgement.files] == [tmp_path / "new"]
    assert judgement.evaluation["counts"]["generated"] == 5
    assert judgement.evaluation["card"]["evaluations_per_example"] == 1.0
    assert judgement.evaluation["card"]["reference_split"] == "validation"


def test_options_of_a_metric_arrive(run_dir: Path, tmp_path: Path) -> None:
    def value(*overrides: str) -> float:
        evaluation = evaluate(run_dir, out=tmp_path, overrides=overrides, registry=judging_registry()).evaluation
        return float(evaluation["scores"]["spread"]["value"])

    assert value("evaluation.extras.spread.gain=10.0") == pytest.approx(10 * value())


def test_a_metric_that_cannot_be_used_is_left_out_aloud(run_dir: Path, tmp_path: Path) -> None:
    (note,) = evaluate(run_dir, out=tmp_path, registry=judging_registry()).evaluation["notes"]
    assert note.startswith("absent is left out")
    assert "pip install 'judges[eval]'" in note


def test_a_named_metric_that_cannot_be_used_is_refused(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(SdError, match="needs no_such_module"):
        evaluate(run_dir, out=tmp_path, overrides=('evaluation.metrics=["absent"]',), registry=judging_registry())


def test_a_split_that_is_not_there_is_refused(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(SdError, match="nowhere"):
        evaluate(run_dir, out=tmp_path, overrides=("dataset.test_split=nowhere",), registry=judging_registry())


def test_what_cannot_be_judged_is_refused_before_the_sampling(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drawer, "examples", lambda *_: pytest.fail("windows were drawn"))
    other = write_miniature(tmp_path / "other", replace(TOY_SIGNAL, sfreq=250.0))
    with pytest.raises(SdError, match=r"split 'test' of dataset .* at 250 Hz \(Fz.*the model makes .* at 125 Hz"):
        evaluate(run_dir, out=tmp_path, overrides=(f"dataset.name={other}",), registry=judging_registry())
    other = write_miniature(tmp_path / "tesla", replace(TOY_SIGNAL, unit="nT"))
    with pytest.raises(SdError, match=r"split 'test' of dataset '.*tesla' is in nT, the model makes windows in uV"):
        evaluate(run_dir, out=tmp_path, overrides=(f"dataset.name={other}",), registry=judging_registry())
    (tmp_path / "file").touch()
    with pytest.raises(SdError, match="is a file"):
        evaluate(run_dir, out=tmp_path / "file", registry=judging_registry())


def test_data_of_an_unknown_unit_are_taken(run_dir: Path, tmp_path: Path) -> None:
    other = write_miniature(tmp_path / "other", replace(TOY_SIGNAL, unit=""))
    assert evaluate(run_dir, out=tmp_path, overrides=(f"dataset.name={other}",), registry=judging_registry()).files


def test_another_reference_of_the_data_is_said(run_dir: Path, tmp_path: Path) -> None:
    other = write_miniature(tmp_path / "other", replace(TOY_SIGNAL, reference="original"))
    judged = evaluate(run_dir, out=tmp_path, overrides=(f"dataset.name={other}",), registry=judging_registry())
    assert judged.evaluation["warnings"] == [
        "The sets are not referenced alike, and scores see that: generated windows to average, held-out windows to "
        "original, training windows to original."
    ]
    assert not any("referenced" in note for note in judged.evaluation["notes"])


def test_the_same_run_gives_the_same_file(run_dir: Path, tmp_path: Path) -> None:
    first, second = (
        evaluate(run_dir, out=tmp_path / name, registry=judging_registry()).files[0].read_bytes() for name in "ab"
    )
    assert first == second


def test_the_command_prints_verdict_and_files(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sd_core.run.sample.discover", judging_registry)
    result = CliRunner().invoke(main, [str(run_dir), "-o", str(tmp_path), "-n", "4"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Spread (uV)" in result.output
    assert "absent is left out" in result.output
    assert str(tmp_path / "metrics.json") in result.output
    told = [line.partition(", after ")[0] for line in result.stderr.splitlines() if ", after " in line]
    assert told == ["drawing windows 4/4", "judging 0/1, now spread", "judging 1/1"]
    written = json.loads((tmp_path / "metrics.json").read_text())
    sentences = [*written["verdict"], *written["warnings"], *written["notes"]]
    assert any(len(sentence) > 80 for sentence in sentences)
    for sentence in sentences:  # a pipe gets each on one line
        assert sentence in result.stdout.splitlines()


@pytest.mark.parametrize("flag", ["--real-split", "--train-split"])
def test_splits_of_windows_are_refused_beside_a_run(run_dir: Path, flag: str) -> None:
    result = CliRunner().invoke(main, [str(run_dir), flag, "validation"])
    assert result.exit_code == 2
    assert flag in result.output


def test_a_folder_without_a_run_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_help_imports_no_torch() -> None:
    code = """
import sys, sd_core.cli.evaluate as command
command.main(["--help"], standalone_mode=False)
print(*{"torch", "numpy"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    *helped, heavy = done.stdout.splitlines()
    assert helped
    assert not heavy


def test_curves_are_thinned_and_need_no_log(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    assert curves(log) == {}
    lines = [{"step": step, "loss": step / 7} for step in range(1000)] + [{"step": 1000, "once": 1.0}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = curves(log)
    assert list(found) == ["loss"]
    assert 300 < len(found["loss"]) <= 400
