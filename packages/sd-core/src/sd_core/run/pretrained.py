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


def start_weights(run: Run, assembly: Assembly) -> None:
    """Load the network of the run or checkpoint that `[model] pretrained` names, if any.

    An architecture whose options have a field `pretrained` loads its own and is left alone.

    Raises:
        SdError: nothing is there, or its tensors do not fit this network.
    """
    source = run.config.model.pretrained
    if source is None or "pretrained" in type(run.options["architectures"]).model_fields:
        return
    weights = load_file(newest(Path(source)) / MODEL)
    own = assembly.network.state_dict()
    wrong = sorted(name for name in own.keys() | weights.keys() if _shape(own, name) != _shape(weights, name))
    if wrong:
        raise SdError(
            f"model.pretrained = {source!r} does not fit this network: {len(wrong)} tensors differ, first {wrong[0]!r} "
            f"({_shape(weights, wrong[0])} there, {_shape(own, wrong[0])} here)"
        )
    assembly.network.load_state_dict(weights)


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    tensor = tensors.get(name)
    return None if tensor is None else tuple(tensor.shape)
