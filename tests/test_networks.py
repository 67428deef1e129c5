"""Every shipped network on every representation, small: trained, resumed to the bit, sampled, judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from sd_core.cli.evaluate import main as sd_evaluate
from sd_core.cli.sample import main as sd_sample
from sd_core.cli.train import main as sd_train
from sd_data.cli import main as sd_data

ROOT = Path(__file__).resolve().parent.parent
TINY = {
    "dit": {"layers": 1, "heads": 1, "head_dim": 16},
    "hourglass": {"depths": [1, 1], "widths": [16, 32], "head_dim": 16, "mapping_width": 16},
    "localmamba": {"depths": [1, 1], "widths": [16, 32], "d_state": 4, "mapping_width": 16},
}
PATCHES = {"db-only": [8, 8], "db-iq": [8, 8], "db-polar": [8, 8], "timeseries": [5, 64]}
SHORT = {
    "dataset.batch_size": 2,
    "dataset.eval_batch_size": 2,
    "training.mixed_precision": "no",
    "training.log_every_steps": 1,
    "training.checkpoint_interval": 2,
    "training.eval_num_steps": 2,
    "training.eval_num_examples": 2,
    "training.eval_num_pictures": 1,
    "inference.denoising_steps": 2,
}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo corpus, windows of 20 electrodes x 2048 samples."""
    folder = tmp_path_factory.mktemp("networks") / "demo"
    run(sd_data, "build", "demo", "-o", folder, "--set", "subjects=6", "--set", "windows_per_state=2")
    return folder


def run(command: object, *words: object) -> None:
    """A command in this process; it must end well."""
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output


def overrides(name: str, representation: str, windows: Path, steps: int) -> list[str]:
    """What makes a shipped config small."""
    values = {**SHORT, "training.max_train_steps": steps, "dataset.name": str(windows)}
    values |= {f"model.extras.{key}": value for key, value in TINY[name].items()}
    values["model.extras.patch_size"] = PATCHES[representation]
    return [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    files = sorted((run_dir / "checkpoint-4").glob("*.safetensors"))
    return {f"{file.name}:{name}": value for file in files for name, value in load_file(file).items()}


@pytest.mark.parametrize("representation", PATCHES)
@pytest.mark.parametrize("name", ["hourglass", "localmamba"])
def test_a_shipped_config_goes_all_the_way(name: str, representation: str, windows: Path, tmp_path: Path) -> None:
    config = ROOT / f"config/diffusion/{name}-{representation}.toml"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(sd_train, config, "--output-dir", whole, *overrides(name, representation, windows, 4))
    run(sd_train, config, "--output-dir", parts, *overrides(name, representation, windows, 2))
    resume = ["--resume-from-checkpoint", parts / "checkpoint-2"]
    run(sd_train, config, "--output-dir", parts, *overrides(name, representation, windows, 4), *resume)
    one, other = weights(whole), weights(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)

    run(sd_sample, whole, "-n", 3, "--to", "npz", "-o", tmp_path / "drawn")
    (file,) = (tmp_path / "drawn").glob("*.npz")
    drawn = np.load(file)["signal"]
    assert drawn.shape == (3, 20, 2048)
    assert np.isfinite(drawn).all()

    run(sd_evaluate, whole, "--set", "evaluation.num_samples=4")
    judged = json.loads((whole / "metrics.json").read_text("utf-8"))
    assert judged["scores"]["log_spectral_distance"]["value"] > 0
    assert (whole / "report.html").stat().st_size > 10_000
