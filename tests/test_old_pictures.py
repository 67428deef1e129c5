"""Datasets of rendered pictures train as they are; what they make is refused as EEG, before it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sd_core.cli import evaluate, sample, train

CONFIG = """
[dataset]
name = "{data}"
batch_size = 2
[model]
name = "dit"
[model.extras]
layers = 1
heads = 1
head_dim = 8
patch_size = [8, 8]
[training]
max_train_steps = 1
[logging]
tensorboard = false
[inference]
denoising_steps = 1
"""


def call(command: click.Command, *arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step on an imagefolder with a metadata.csv in each split."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        (folder / "data" / split).mkdir(parents=True)
        rows = ["file_name,gender,health,age,caption"]
        for number in range(4):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
                folder / "data" / split / f"{number}.png"
            )
            rows.append(f"{number}.png,{'FM'[number % 2]},H,{30 + number},an EEG spectrogram")
        (folder / "data" / split / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "run.toml").write_text(CONFIG.format(data=(folder / "data").as_posix()), encoding="utf-8")
    done = call(train.main, folder / "run.toml", "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


@pytest.mark.parametrize("command", [sample.main, evaluate.main], ids=["sd-sample", "sd-evaluate"])
def test_they_train_and_are_refused_as_eeg_before_anything_is_drawn(
    command: click.Command, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    record: Callable[..., Any] = lambda *arguments: drawn.append(arguments)  # noqa: E731 - one line says it
    monkeypatch.setattr("sd_core.run.drawing.Drawer.examples", record)
    before = sorted(run_dir.rglob("*"))
    done = call(command, run_dir, "-n", 2)
    assert done.exit_code == 2
    assert "was trained on rendered pictures; they cannot become EEG windows" in done.output
    assert not drawn
    assert sorted(run_dir.rglob("*")) == before
