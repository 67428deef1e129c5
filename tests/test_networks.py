"""Every shipped network on every representation, small: trained, resumed to the bit, sampled, judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from sd_core.cli.evaluate import main as sd_evaluate
from sd_core.cli.sample import main as sd_sample
from sd_core.cli.train import main as sd_train
from sd_core.run.sample import generate, load_run
from sd_data.cli import main as sd_data
from sd_sd35.testing import make_tiny_pretrained

ROOT = Path(__file__).resolve().parent.parent
TINY: dict[str, dict[str, Any]] = {
    "dit": {"layers": 1, "heads": 1, "head_dim": 16},
    "hourglass": {"depths": [1, 1], "widths": [16, 32], "head_dim": 16, "mapping_width": 16},
    "localmamba": {"depths": [1, 1], "widths": [16, 32], "d_state": 4, "mapping_width": 16},
    "sd35": {},
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


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for the published SD3.5, which no test can download: the same folders, tiny."""
    return make_tiny_pretrained(tmp_path_factory.mktemp("hub") / "sd3")


def run(command: object, *words: object) -> None:
    """A command in this process; it must end well."""
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output


def overrides(name: str, representation: str, windows: Path, pipeline: Path, steps: int) -> list[str]:
    """What makes a shipped config small."""
    values = {**SHORT, "training.max_train_steps": steps, "dataset.name": str(windows)}
    values |= {f"model.extras.{key}": value for key, value in TINY[name].items()}
    if name == "sd35":
        values["model.pretrained"] = str(pipeline)
    else:
        values["model.extras.patch_size"] = PATCHES[representation]
    return [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    files = sorted((run_dir / "checkpoint-4").glob("*.safetensors"))
    return {f"{file.name}:{name}": value for file in files for name, value in load_file(file).items()}


@pytest.mark.parametrize("representation", PATCHES)
@pytest.mark.parametrize("name", ["hourglass", "localmamba", "sd35"])
def test_a_shipped_config_goes_all_the_way(
    name: str, representation: str, windows: Path, pipeline: Path, tmp_path: Path
) -> None:
    def small(steps: int) -> list[str]:
        return overrides(name, representation, windows, pipeline, steps)

    config = ROOT / f"config/diffusion/{name}-{representation}.toml"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(sd_train, config, "--output-dir", whole, *small(4))
    run(sd_train, config, "--output-dir", parts, *small(2))
    resume = ["--resume-from-checkpoint", parts / "checkpoint-2"]
    run(sd_train, config, "--output-dir", parts, *small(4), *resume)
    one, other = weights(whole), weights(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)

    run(sd_sample, whole, "-n", 3, "--to", "npz", "-o", tmp_path / "drawn")
    (file,) = (tmp_path / "drawn").glob("*.npz")
    drawn = np.load(file)["signal"]
    assert drawn.shape == (3, 20, 2048)
    assert np.isfinite(drawn).all()

    # All metrics and the page are tested where they live; the page once more here, where its pictures differ.
    page = "html" if representation == "timeseries" else "none"
    few = 'evaluation.metrics=["log_spectral_distance", "memorisation"]'
    settings = ["evaluation.num_samples=4", few, f"evaluation.report={page}"]
    run(sd_evaluate, whole, *(word for setting in settings for word in ("--set", setting)))
    judged = json.loads((whole / "metrics.json").read_text("utf-8"))
    assert judged["scores"]["log_spectral_distance"]["value"] > 0
    assert (whole / "report.html").exists() == (page == "html")
    assert page == "none" or (whole / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("conditioning", ["none", "classes", "attributes", "caption"])
@pytest.mark.parametrize("representation", PATCHES)
@pytest.mark.parametrize("name", TINY)
def test_every_network_takes_every_view_and_every_condition(  # noqa: PLR0917  two fixtures and three axes
    name: str, representation: str, conditioning: str, windows: Path, pipeline: Path, tmp_path: Path
) -> None:
    config, run_dir = ROOT / f"config/diffusion/{name}-{representation}.toml", tmp_path / "run"
    quick = ["training.eval_num_steps=9", "training.eval_num_pictures=0", f"model.conditioning={conditioning}"]
    words = [word for setting in quick for word in ("--set", setting)]
    run(sd_train, config, "--output-dir", run_dir, *overrides(name, representation, windows, pipeline, 2), *words)
    drawn = generate(load_run(run_dir, ("inference.cfg_scale=2.0",) if conditioning != "none" else ()), 2)
    assert drawn.signal.shape == (2, 20, 2048)
    assert np.isfinite(drawn.signal).all()
    labels = {"none": set(), "classes": {"label"}, "attributes": {"gender", "health", "age"}, "caption": {"caption"}}
    assert set(drawn.columns) == labels[conditioning]
