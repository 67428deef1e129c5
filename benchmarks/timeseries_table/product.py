"""Train and draw as `sd-train` and `sd-sample` do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sd_core.config.read import read_run
from sd_core.errors import SdError
from sd_core.registry import discover
from sd_core.run.checkpoint import MANIFEST, checkpoints, newest, step_of
from sd_core.run.console import counting
from sd_core.run.sample import generate, load_run, provenance
from sd_core.run.train import train

Array = NDArray[np.float32]
CONFIG = Path(__file__).resolve().parents[2] / "config" / "timeseries-table.toml"


@dataclass(frozen=True)
class Drawn:
    """Generated windows and where they come from."""

    windows: Array
    """(n, steps, features), as drawn; they may leave [0, 1]."""
    provenance: dict[str, object]
    digest: str
    """Of the provenance: names what was made from these windows."""


def train_set(windows: Path, folder: Path, overrides: Sequence[str]) -> None:
    """Train on a window dataset, from the newest checkpoint in `folder` where there is one.

    Raises:
        SdError: what `sd-train` would refuse; or the training was told to stop before its end.
    """
    registry = discover()
    run = read_run(CONFIG, (f'dataset.name="{windows.resolve()}"', *overrides), registry)
    train(run, folder, resume_from="latest" if checkpoints(folder) else None, registry=registry)
    step, total = step_of(newest(folder)), run.config.training.max_train_steps
    if total is not None and step < total:  # a signal ends a training well; what was to follow must not begin
        raise SdError(f"the training of {folder} was stopped after step {step} of {total}: the same command goes on")


def draw(folder: Path, count: int, overrides: Sequence[str], kept: Path) -> Drawn:
    """Draw `count` windows of a run, or read them from the folder `kept`, if the same ones were drawn before."""
    loaded = load_run(folder, [each for each in overrides if each.startswith("inference.")])
    weights = hashlib.sha256((loaded.checkpoint / MANIFEST).read_bytes()).hexdigest()
    extras = loaded.run.config.inference.extras
    origin = {**provenance(loaded, count, None), "extras": extras, "weights": weights}
    digest = hashlib.sha256(json.dumps(origin, sort_keys=True, default=str).encode()).hexdigest()[:8]
    path = kept / f"drawn-{digest}.npy"
    if not path.is_file():
        with counting("drawing windows", count) as tick:
            signal = generate(loaded, count, tick=tick).signal
        np.save(path, signal)
    batch = loaded.run.config.dataset.batch_size
    origin |= {
        "parameters": sum(each.numel() for each in loaded.assembly.network.parameters()),
        "batch_of_training": batch,
        "minutes_of_training": training_minutes(folder / "timing.jsonl", batch),
    }
    return Drawn(np.load(path).transpose(0, 2, 1), origin, digest)


def training_minutes(timing: Path, batch: int) -> float:
    """Minutes of training steps, without what lay between an interruption and its resume."""
    minutes, step = 0.0, 0
    for line in timing.read_text(encoding="utf-8").splitlines():
        logged = json.loads(line)
        minutes += (logged["step"] - step) * batch / logged["samples_per_s"] / 60
        step = logged["step"]
    return minutes
