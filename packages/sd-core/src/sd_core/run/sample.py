"""The sampling story: load a checkpoint, draw, decode to windows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sd_core.config.read import Run, read_resolved
from sd_core.errors import SdError
from sd_core.registry import Registry, discover
from sd_core.run.asked import Asked, Given, ask
from sd_core.run.assemble import Assembly, build_sampler
from sd_core.run.captions import CAPTION, prepare_captions, say_unheard, template_of
from sd_core.run.checkpoint import MANIFEST, newest, step_of
from sd_core.run.drawing import Drawer
from sd_core.run.earlier import load_earlier
from sd_core.run.loading import chosen_average, load_assembly
from sd_core.run.opening import open_data
from sd_core.run.setup import autocast, cpu_has_bf16
from sd_core.run.stored import RUN, TaskCard, read_card
from sd_core.run.vocabulary import Vocabulary
from sd_core.task import SignalInfo, Windows, data_name
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


def generate(
    loaded: LoadedRun,
    count: int,
    *,
    seed: int | None = None,
    given: Sequence[Given] = (),
    tick: Tick | None = None,
) -> Windows:
    """Draw windows; window i follows from (seed, i) and what is asked of it only, not from batches or devices.

    Args:
        loaded: The model.
        count: Windows.
        seed: Instead of `[inference] seed`.
        given: Labels asked for: of all windows, or of each; see `asked_of`.
        tick: Told how many more windows are done.

    Returns:
        Windows that carry the labels that were asked for, and no others.

    Raises:
        SdError: the model was trained on rendered pictures, or does not know what is asked for.
    """
    info, drawer = loaded.info, _drawer(loaded, seed)
    asked = asked_of(loaded, count, drawer.inference.seed, given)
    return drawer.windows(asked, info, tick or (lambda _: None))


def asked_of(loaded: LoadedRun, count: int, seed: int, given: Sequence[Given] = ()) -> Asked:
    """The labels of windows to draw: those given, the rest as train windows have them (`sd_core.run.asked`).

    Raises:
        SdError: the run was not trained on a label or does not know its value, or a caption is too long.
    """
    run, network = loaded.run, loaded.assembly.network
    asked = ask(
        loaded.card,
        network.conditioner.roles,
        template_of(run),
        given,
        conditioning=run.config.model.conditioning,
        count=count,
        seed=seed,
    )
    for assembly in (loaded.assembly, loaded.earlier):
        if assembly is not None:
            prepare_captions(assembly.network, set(asked.values.get(CAPTION, ())))
    if given and CAPTION in asked.values:
        say_unheard(network, set(asked.values[CAPTION]), loaded.card.label_examples.get(CAPTION, ()))
    return asked


def drawn_labels(loaded: LoadedRun, given: Sequence[Given]) -> list[str]:
    """The labels that are not asked for in every window, so that some come from train windows.

    Raises:
        SdError: the run was not trained on a label that is given, or does not know its value.
    """
    run, card, reads = loaded.run, loaded.card, loaded.assembly.network.conditioner.roles
    known = Vocabulary(card.labels, reads, template_of(run), run.config.model.conditioning, card.unseen)
    for row in given:
        known.read(row)
    return known.left_open(given)


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


def provenance(loaded: LoadedRun, count: int, seed: int | None, given: Sequence[Given] = ()) -> dict[str, Any]:
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
        "trained_on": data_name(loaded.run.config.dataset.name),
        "exact_representation": loaded.assembly.representation.exact,
        "ema": loaded.ema,
        "conditioning": loaded.run.config.model.conditioning,
        "asked": dict(given[0]) if len(given) == 1 else [dict(row) for row in given],
        "count": count,
        **inference.model_dump(mode="json", exclude={"extras", "ema"}),
        "seed": inference.seed if seed is None else seed,
    }
