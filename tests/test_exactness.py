"""A run is a function of its config, its data and its seed: through the real command line and the real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sd_core.testing.toys import write_toy_windows

STEPS = 6
CONFIG = """
[data]
representation = "timeseries"
[dataset]
name = "{data}"
batch_size = 4
[model]
name = "dit"
conditioning = "attributes"
extras = {{ patch_size = ["all", 8], layers = 1, heads = 1, head_dim = 16, dropout_rate = {dropout} }}
[optimizer]
name = "muon"
learning_rate = 1e-2
[training]
max_train_steps = {steps}
checkpoint_interval = 3
log_every_steps = 1
eval_num_steps = 2
eval_num_pictures = 0
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("exactness") / "data")


def write_config(folder: Path, data: Path, steps: int = STEPS, dropout: float = 0.2) -> Path:
    file = folder / "run.toml"
    file.write_text(CONFIG.format(data=data, steps=steps, dropout=dropout))
    return file


def command(*arguments: object, processes: int = 1) -> list[str]:
    launch = [sys.executable, "-m"]
    if processes > 1:
        # accelerate's name for "several processes, each with its own device"; ACCELERATE_USE_CPU makes that gloo
        launch += ["accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]
        launch += ["--num_processes", str(processes), "--dynamo_backend", "no", "--main_process_port", "0", "-m"]
    return [*launch, "sd_core.cli.train", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def sd_train(*arguments: object, processes: int = 1) -> None:
    done = subprocess.run(  # noqa: PLW1510 - its message is the better one
        command(*arguments, processes=processes), env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted((run / f"checkpoint-{STEPS}").glob("*.safetensors"))
    return {f"{file.name}:{name}": value for file in files for name, value in load_file(file).items()}


def losses(run: Path) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def test_kill_9_and_resume_end_where_the_uninterrupted_run_ends(tmp_path: Path, data: Path) -> None:
    config = write_config(tmp_path, data)
    sd_train(config, "--output-dir", tmp_path / "whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen(command(config, "--output-dir", killed), env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(killed.glob("checkpoint-*")):  # the moment a checkpoint exists, with steps under way behind it
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sd_train(config, "--output-dir", killed, "--resume-from-checkpoint", "latest")
    one, other = weights(tmp_path / "whole"), weights(killed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()


def test_two_processes_are_one_process_with_accumulation_two(tmp_path: Path, data: Path) -> None:
    config = write_config(tmp_path, data, dropout=0.0)
    sd_train(config, "--output-dir", tmp_path / "one", "--set", "training.gradient_accumulation_steps=2")
    sd_train(config, "--output-dir", tmp_path / "two", processes=2)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == STEPS
    assert two == pytest.approx(one, rel=1e-4)
    left, right = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-3, atol=1e-4)
