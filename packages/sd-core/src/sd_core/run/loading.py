"""From a checkpoint to the parts of its run with their trained weights in them."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from sd_core.config.read import Run
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import Assembly, assemble
from sd_core.run.base import lay_base
from sd_core.run.lora import merge
from sd_core.run.pretrained import refuse_misfit
from sd_core.run.state import MODEL, average_file
from sd_core.run.stored import TaskCard, kept_averages, load_representation


def load_assembly(run: Run, checkpoint: Path, card: TaskCard, registry: Registry) -> Assembly:
    """The parts of a run as a checkpoint left them, to draw from; adapters are merged into their base.

    Args:
        run: The checkpoint's config; `[inference] ema` chooses the weights.
        checkpoint: A verified folder.
        card: The checkpoint's own.
        registry: The installed plugins.

    Raises:
        SdError: the weights do not fit the network that the plugins make, an average is asked for that is not
            there, or the base of a LoRA run is missing or another one.
    """
    assembly = assemble(run, registry, card.geometry, card.labels)
    load_representation(checkpoint, assembly)
    base = lay_base(run, assembly, registry, checkpoint)
    weights = stored_weights(run, checkpoint)
    refuse_misfit(assembly.network.own_state(), weights, f"checkpoint {checkpoint}")
    assembly.network.load_own(weights)
    if base is not None:
        merge(assembly.network)
    assembly.network.eval()
    return assembly


def stored_weights(run: Run, checkpoint: Path) -> dict[str, Tensor]:
    """The weights that `[inference] ema` chooses, by name; of a LoRA run the adapters and what else was trained."""
    weights = load_file(checkpoint / MODEL)
    ema = chosen_average(run, checkpoint)
    if ema is not None:
        weights.update(load_file(checkpoint / average_file(ema)))
    return weights


def chosen_average(run: Run, checkpoint: Path) -> str | None:
    """Name of the average to sample from: `[inference] ema`, or the first that training kept.

    Raises:
        SdError: the checkpoint keeps no such average.
    """
    kept, wanted = kept_averages(run), run.config.inference.ema
    if wanted is None:
        return kept[0] if kept else None
    name = f"{wanted:g}"
    if not (checkpoint / average_file(name)).is_file():
        there = ", ".join(kept) or "none"
        raise SdError(f"inference.ema = {name}: {checkpoint} keeps no such average; there: {there}")
    return name
