"""The sampling story: load a checkpoint, draw, decode to windows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sd_core.config.read import Run, read_resolved
from sd_core.errors import SdError
from sd_core.registry import Registry, discover
from sd_core.run.assemble import Assembly, build_sampler
from sd_core.run.checkpoint import MANIFEST, newest, step_of
from sd_core.run.drawing import Drawer
from sd_core.run.earlier import load_earlier
from sd_core.run.loading import chosen_average, load_assembly
from sd_core.run.opening import open_data
from sd_core.run.randomness import Stream, words
from sd_core.run.setup import autocast, cpu_has_bf16
from sd_core.run.stored import RUN, TaskCard, labels_from_examples, read_card
from sd_core.task import SignalInfo, Windows
from sd_core.windows.reading import PictureSet, WindowSet

Tick = Callable[[int], None]
"""Told how many more windows are done."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRun:
    """A trained model, ready to draw from."""

    run: Run
    checkpoint: Path
    run_dir: Path
    """Where samples and a report belong; see `run_dir_of`."""
    registry: Registry
    assembly: Assembly
    card: TaskCard
    device: torch.device
    ema: str | None
    """Name of the average whose weights are in use; None for the raw weights."""
    earlier: Assembly | None = None
    """What autoguidance leads away from."""

    @property
    def info(self) -> SignalInfo:
        """Geometry of the windows that are drawn.

        Raises:
            SdError: the model was trained on rendered pictures.
        """
        if self.card.geometry.info is None:
            raise SdError(f"{self.checkpoint} was trained on rendered pictures; they cannot become EEG windows")
        return self.card.geometry.info

    def split(self, name: str) -> WindowSet | PictureSet:
        """A split of the dataset that the run was trained on."""
        data = open_data(self.run, self.registry)
        return data.train.source if name == self.run.config.dataset.train_split else data.split(name).source


def load_run(source: Path, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> LoadedRun:
    """Load the newest intact checkpoint of a run directory, or a checkpoint folder.

    Args:
        source: a run directory or a checkpoint; a checkpoint copied elsewhere works alone.
        overrides: `section.key=value` settings, such as "inference.cfg_scale=2.5".
        registry: the installed plugins, when the caller has them.

    Raises:
        SdError: nothing intact is there, its weights do not fit the network that the installed plugins make
            of its config, an average that the run did not keep is asked for, the base of a LoRA run is not there,
            or `[inference] guidance_checkpoint` cannot guide it.
    """
    registry = registry or discover()
    checkpoint = newest(source)
    run = read_resolved(checkpoint / RUN, overrides, registry)
    card = read_card(checkpoint)
    assembly = load_assembly(run, checkpoint, card, registry)
    earlier = load_earlier(run, checkpoint, assembly, card, registry)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision(run.config.training.matmul_precision)
    return LoadedRun(
        run=run,
        checkpoint=checkpoint,
        run_dir=run_dir_of(source),
        registry=registry,
        assembly=assembly.to(device),
        card=card,
        device=device,
        ema=chosen_average(run, checkpoint),
        earlier=None if earlier is None else earlier.to(device),
    )


def run_dir_of(source: Path) -> Path:
    """The run directory that a run or checkpoint belongs to; a checkpoint that stands alone is its own.

    Raises:
        SdError: there is no such folder.
    """
    if not source.is_dir():
        raise SdError(f"there is no run or checkpoint at {source}")
    return source.parent if (source / MANIFEST).is_file() and (source.parent / RUN).is_file() else source


def generate(loaded: LoadedRun, count: int, *, seed: int | None = None, tick: Tick | None = None) -> Windows:
    """Draw windows; window i follows from (seed, i) only, not from batches or devices.

    A conditional model is asked for the labels of train windows, drawn at random; the windows carry
    the labels that were asked for and no others.

    Raises:
        SdError: the model was trained on rendered pictures.
    """
    info = loaded.info
    parts = loaded.assembly.representation.parts
    drawer = _drawer(loaded, seed)
    per_batch = max(1, loaded.run.config.inference.batch_size // parts)
    choice = example_choice(loaded, count, drawer.inference.seed)
    signals = []
    for start in range(0, count, per_batch):
        numbers = torch.arange(start, min(start + per_batch, count))
        signals.append(_decode(loaded, drawer, numbers, choice[numbers]))
        if tick is not None:
            tick(len(numbers))
    return Windows(signal=np.concatenate(signals), info=info, columns=label_values(loaded, choice))


def _drawer(loaded: LoadedRun, seed: int | None) -> Drawer:
    inference = loaded.run.config.inference
    if seed is not None:
        inference = inference.model_copy(update={"seed": seed})
    precision = drawing_precision(loaded.device, loaded.run.config.training.mixed_precision)
    return Drawer(
        loaded.assembly,
        build_sampler(loaded.run, loaded.registry),
        inference,
        loaded.device,
        autocast(loaded.device, precision),
        loaded.earlier,
    )


def drawing_precision(device: torch.device, trained: str) -> str:
    """The mixed precision to draw in: that of the training, unless a CPU would have to emulate it."""
    if device.type != "cpu" or trained == "no" or (trained == "bf16" and cpu_has_bf16()):
        return trained
    _log.warning("this run was trained in %s, which this processor does not compute: drawing in float32", trained)
    return "no"


def _decode(loaded: LoadedRun, drawer: Drawer, numbers: Tensor, choice: Tensor) -> np.ndarray[Any, Any]:
    """The windows of these numbers; the examples of one window may fill several batches."""
    parts = loaded.assembly.representation.parts
    positions = (numbers[:, None] * parts + torch.arange(parts)).flatten()
    size = drawer.inference.batch_size
    batches = zip(positions.split(size), choice.repeat_interleave(parts).split(size), strict=True)
    x = torch.cat([_examples(loaded, drawer, *batch) for batch in batches])
    decoded: np.ndarray[Any, Any] = loaded.assembly.representation.decode(x).float().cpu().numpy()
    return decoded


def _examples(loaded: LoadedRun, drawer: Drawer, positions: Tensor, choice: Tensor) -> Tensor:
    parts = loaded.assembly.representation.parts
    labels = labels_from_examples(loaded.card, choice, loaded.device)
    return drawer.examples(positions, labels, (positions % parts).to(loaded.device) if parts > 1 else None)


def example_choice(loaded: LoadedRun, count: int, seed: int) -> Tensor:
    """Which train window's labels each generated window asks for, (count,) int64."""
    kept = max((len(values) for values in loaded.card.label_examples.values()), default=1)
    return words(seed, Stream.LABELS, torch.arange(count), 1)[:, 0] % kept


def label_values(loaded: LoadedRun, choice: Tensor) -> dict[str, list[Any]]:
    """The requested labels as a dataset writes them: words instead of indices, None for missing."""
    card, columns = loaded.card, dict[str, list[Any]]()
    for role in sorted(loaded.assembly.network.conditioner.roles):
        values = card.label_examples[role]
        picked = [values[index] for index in choice.tolist()]
        if role in card.labels.categories:
            names = card.labels.categories[role]
            picked = [names[index] if index >= 0 else None for index in picked]
        elif role in card.labels.numbers:
            picked = [None if np.isnan(value) else value for value in picked]
        columns["label" if role == "class" else role] = picked
    return columns


def provenance(loaded: LoadedRun, count: int, seed: int | None) -> dict[str, Any]:
    """Where generated windows come from, for exporters: everything needed to draw them again."""
    inference = loaded.run.config.inference
    return {
        "synthetic": True,
        "generator": "Signal Diffusion",
        "plugins": loaded.registry.versions(),
        "model": loaded.run.config.model.name,
        "representation": loaded.run.config.data.representation,
        "checkpoint": loaded.checkpoint.name,
        "step": step_of(loaded.checkpoint) if loaded.checkpoint.name.startswith("checkpoint-") else None,
        "trained_on": loaded.run.config.dataset.name,
        "exact_representation": loaded.assembly.representation.exact,
        "ema": loaded.ema,
        "count": count,
        **inference.model_dump(mode="json", exclude={"extras", "ema"}),
        "seed": inference.seed if seed is None else seed,
    }
