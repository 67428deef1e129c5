"""Start from the weights of another run: `[model] pretrained` for architectures that do not load their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from sd_core.config.read import Run
from sd_core.errors import SdError
from sd_core.run.assemble import Assembly
from sd_core.run.checkpoint import newest
from sd_core.run.state import MODEL

VERSIONS = "plugins.json beside the weights names the versions of the plugins that made them"


def start_weights(run: Run, assembly: Assembly) -> None:
    """Load the network of the run or checkpoint that `[model] pretrained` names, if any.

    An architecture whose options have a field `pretrained` loads its own and is left alone. So is a network that
    gets adapters: `sd_core.run.base` loads what they stand on.

    Raises:
        SdError: it is not a folder on this disk, a revision is asked for, nothing is there, or its tensors
            do not fit this network.
    """
    model = run.config.model
    source = model.pretrained
    if source is None or loads_itself(run) or model.lora is not None:
        return
    if not Path(source).is_dir():
        raise SdError(
            f"model.pretrained = {source!r} is not a folder here: model {model.name!r} starts from the folder of a run "
            "or of a checkpoint, not from a hub"
        )
    if model.revision is not None:
        raise SdError(
            f"model.revision = {model.revision!r}: the folder in model.pretrained has no revisions, and model "
            f"{model.name!r} takes nothing from a hub; leave the key out"
        )
    weights = load_file(newest(Path(source)) / MODEL)
    refuse_misfit(assembly.network.state_dict(), weights, f"model.pretrained = {source!r}")
    assembly.network.load_state_dict(weights)


def loads_itself(run: Run) -> bool:
    """Whether the architecture reads `[model] pretrained` on its own."""
    return "pretrained" in type(run.options["architectures"]).model_fields


def refuse_misfit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], where: str, remedy: str = VERSIONS) -> None:
    """Check that stored tensors have the names and shapes of a network's.

    Args:
        own: The network's `state_dict`.
        weights: What is to be loaded.
        where: What the sentence calls the weights, such as "checkpoint runs/demo/checkpoint-100".
        remedy: How the sentence ends.

    Raises:
        SdError: some are missing, unknown or of another shape; the first is named.
    """
    wrong = sorted(name for name in own.keys() | weights.keys() if _shape(own, name) != _shape(weights, name))
    if wrong:
        raise SdError(
            f"{where} does not fit this network: {len(wrong)} tensors differ, first {wrong[0]!r} "
            f"({_told(weights, wrong[0])} there, {_told(own, wrong[0])} here); {remedy}"
        )


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    tensor = tensors.get(name)
    return None if tensor is None else tuple(tensor.shape)


def _told(tensors: Mapping[str, Tensor], name: str) -> str:
    return "absent" if name not in tensors else str(_shape(tensors, name))
