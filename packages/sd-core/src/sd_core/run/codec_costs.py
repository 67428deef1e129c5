"""What a latent space costs, counted on fake tensors like the network itself (`sd_core.run.costs`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sd_core.protocols import Codec, Representation


@dataclass(frozen=True)
class CodecCost:
    """Sizes of a frozen codec; it has no gradients, moments or averages."""

    shapes: str
    """What it takes -> what the network sees."""
    parameters: int
    weight_bytes: int
    working_bytes: int
    """While it encodes a batch, roughly: twice the largest input and output of one of its layers."""
    flops: int
    """Of encoding an example at every step; 0 where latents are kept on disk."""

    @property
    def bytes(self) -> int:
        """Beside the network's."""
        return self.weight_bytes + self.working_bytes


def codec_cost(representation: Representation, codec: Codec, batch_size: int) -> CodecCost | None:
    """The cost of a codec with weights, None for one without; call it within a `FakeTensorMode`."""
    if not isinstance(codec, nn.Module):
        return None
    with _largest(codec) as largest, FlopCounterMode(display=False) as counter:
        codec.encode(torch.zeros(batch_size, *representation.shape))
    kept = getattr(codec, "keeps_latents", False)
    return CodecCost(
        shapes=f"{representation.shape} -> {codec.shape}",
        parameters=sum(weight.numel() for weight in codec.parameters()),
        weight_bytes=sum(weight.nbytes for weight in codec.parameters()),
        working_bytes=2 * largest[0],
        flops=0 if kept else counter.get_total_flops() // batch_size,
    )


@contextmanager
def _largest(module: nn.Module) -> Iterator[list[int]]:
    """The bytes of the largest input and output of a layer, over what is computed within."""
    largest = [0]

    def note(_layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen = [*inputs, output]
        largest[0] = max(largest[0], sum(tensor.nbytes for tensor in seen if isinstance(tensor, Tensor)))

    handles = [layer.register_forward_hook(note) for layer in module.modules() if not list(layer.children())]
    try:
        yield largest
    finally:
        for handle in handles:
            handle.remove()
