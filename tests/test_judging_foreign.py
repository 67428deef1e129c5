"""Real metrics, a real network: windows from anywhere, a sweep, scores during a training, each by its command."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import sd_core.cli.evaluate
import sd_core.cli.sample
import sd_core.cli.train
from sd_core.testing.windows import write_miniature

CONFIG = """\
[data]
representation = "timeseries"
[dataset]
name = "{data}"
batch_size = 4
[model]
name = "dit"
conditioning = "classes"
extras = {{ patch_size = ["all", 64], layers = 1, heads = 1, head_dim = 16 }}
[training]
max_train_steps = 4
checkpoint_interval = 2
eval_num_steps = 2
eval_num_windows = 12
[logging]
tensorboard = true
[inference]
denoising_steps = 2
[evaluation]
metrics = ["log_spectral_distance", "correlation", "kurtosis", "memorisation"]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("foreign")
    data = write_miniature(folder / "data", train=32, held_out=16)
    (folder / "run.toml").write_text(CONFIG.format(data=data))
    done = command(sd_core.cli.train.main, folder / "run.toml", "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    yield folder
    shutil.rmtree(folder)


def command(main: object, *arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)  # type: ignore[arg-type]


def test_scores_are_in_the_log_and_on_the_tensorboard(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = [json.loads(line) for line in (trained / "run" / "metrics.jsonl").read_text().splitlines()]
    scored = [line for line in lines if "eval/kurtosis" in line]
    assert [line["step"] for line in scored] == [2, 4]
    assert {"eval/log_spectral_distance", "eval/correlation", "floor/kurtosis"} <= scored[0].keys()
    events = EventAccumulator(str(trained / "run" / "tensorboard"))
    events.Reload()
    assert {"eval/kurtosis", "floor/kurtosis"} <= set(events.Tags()["scalars"])


def test_what_sd_sample_writes_is_judged_like_the_run_itself(trained: Path) -> None:
    run = trained / "run"
    for form in ("npz", "dataset"):
        done = command(sd_core.cli.sample.main, run, "-n", 16, "--to", form, "-o", trained / form)
        assert done.exit_code == 0, done.output
    command(sd_core.cli.evaluate.main, run, "-n", 16, "-o", trained / "own", "--set", "evaluation.report=none")
    named = ["--set", 'evaluation.metrics=["log_spectral_distance", "correlation", "kurtosis", "memorisation"]']
    found = {"own": json.loads((trained / "own" / "metrics.json").read_text())}
    for form in ("npz", "dataset"):
        arguments = ["--real", trained / "data", "--generated", trained / form, "-o", trained / f"{form}-out", *named]
        arguments += ["--set", "evaluation.report=none"] if form == "npz" else []
        done = command(sd_core.cli.evaluate.main, *arguments)
        assert done.exit_code == 0, done.output
        assert (trained / f"{form}-out" / "report.html").is_file() == (form == "dataset")
        found[form] = json.loads((trained / f"{form}-out" / "metrics.json").read_text())
    for form in ("npz", "dataset"):
        assert found[form]["verdict"] == found["own"]["verdict"]
        assert found[form]["card"]["reference"] == found["own"]["card"]["reference"]
        for key, entry in found["own"]["scores"].items():
            assert found[form]["scores"][key]["value"] == pytest.approx(entry["value"], rel=1e-4), key
            assert found[form]["scores"][key]["floor"] == pytest.approx(entry["floor"], rel=1e-6), key


def test_a_copy_of_the_training_windows_from_elsewhere_is_told(trained: Path) -> None:
    from sd_core.windows.opening import open_split

    split = open_split(trained / "data", "train")
    signal = split.signals(range(32))  # type: ignore[union-attr]
    names = np.array(split.info.channel_names)  # type: ignore[union-attr]
    np.savez(trained / "copies.npz", signal=signal, channel_names=names, sfreq=125.0, unit="uV")
    arguments = ["--real", trained / "data", "--generated", trained / "copies.npz", "-o", trained / "copies-out"]
    arguments += ["--set", "evaluation.report=none"]
    done = command(sd_core.cli.evaluate.main, *arguments, "--set", 'evaluation.metrics=["memorisation"]')
    assert done.exit_code == 0, done.output
    verdict = json.loads((trained / "copies-out" / "metrics.json").read_text())["verdict"]
    assert verdict[0].startswith("Warning: training windows are copied")


def test_a_sweep_ranks_and_the_best_is_taken(trained: Path) -> None:
    run = trained / "run"
    done = command(
        sd_core.cli.evaluate.main, "--sweep", run, "-n", 8, "--sampler", "heun", "--cfg-scale", "1,2", "--ema", 0.1
    )
    assert done.exit_code == 0, done.output
    assert "guidance 2 in 0.1-0.7" in done.output
    record = json.loads((run / "sweep.json").read_text())
    assert len(record["settings"]) == 3
    ranks = [(len(entry["alarms"]), entry["excess"]) for entry in record["settings"]]
    assert ranks == sorted(ranks)
    assert (run / "sweep.svg").read_text().count("<svg") == 1
    sampled = command(sd_core.cli.sample.main, run, "--best", "-n", 1, "-o", trained / "best")
    assert sampled.exit_code == 0, sampled.output
    assert f"best.toml: {record['settings'][0]['checkpoint']}" in " ".join(sampled.output.split())


def test_of_two_processes_only_the_main_one_judges_and_a_failure_leaves_nobody_waiting(trained: Path) -> None:
    out = trained / "two"
    out.mkdir()
    (out / "samples").touch()  # pictures cannot be written: the main process fails, alone
    launch = ["--multi_gpu", "--num_machines", "1", "--mixed_precision", "no", "--num_processes", "2"]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", "sd_core.cli.train"]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *launch, trained / "run.toml", "--output-dir", out],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("drawing pictures failed, and the training goes on without it") == 1
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval/kurtosis" in line] == [2, 4]
