"""The selective scan as operators of PyTorch: opaque to `torch.compile`, known to FakeTensorMode and FLOP counters.

They are defined by schema and not by `torch.library.custom_op`, which imports the compiler on the first call
and would make every command that runs a network two seconds slower.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from sd_localmamba.scan.choice import choose

FLOPS, FLOPS_BACKWARD = 9, 23
"""Operations per channel, state and position, an exponential counted as one."""

INPUTS = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor bias"
SEVEN = ", ".join(["Tensor"] * 7)

library = torch.library.Library("sd_localmamba", "DEF")
library.define(f"scan({INPUTS}, str backend) -> (Tensor, Tensor)")
library.define(f"scan_backward(Tensor dy, {INPUTS}, Tensor states, str backend) -> ({SEVEN})")


def chunk_length(device: torch.device) -> int:
    """Positions between two saved states: on GPUs a chunk is scanned in parallel, on processors it fits a cache."""
    return 64 if device.type == "cuda" else 32


def _scan(*arguments: Any) -> tuple[Tensor, Tensor]:
    *tensors, backend = arguments
    u = tensors[0]
    chunk = chunk_length(u.device)
    return choose(backend, u.device.type, u.dtype, chunk).forward(tensors, chunk)


def _scan_backward(*arguments: Any) -> tuple[Tensor, ...]:
    *tensors, backend = arguments
    u = tensors[1]
    chunk = chunk_length(u.device)
    return choose(backend, u.device.type, u.dtype, chunk).backward(tensors, chunk)


def _fake_scan(*arguments: Any) -> tuple[Tensor, Tensor]:
    u, _, A, *_ = arguments
    batch, directions, length, width = u.shape
    chunks = -(-length // chunk_length(u.device))
    return torch.empty_like(u), u.new_empty(batch, directions, chunks, A.shape[-1], width)


def _fake_scan_backward(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor) for tensor in arguments[1:8])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    gradients = torch.ops.sd_localmamba.scan_backward(dy.contiguous(), *ctx.saved_tensors, ctx.backend)
    return *gradients, None


def refuse(ctx: Any, *gradients: Tensor) -> None:  # noqa: ARG001  PyTorch passes them
    """In place of a derivative of the backward pass."""
    raise RuntimeError("the selective scan has no second derivative")


library.impl("scan", _scan, "CompositeExplicitAutograd")
library.impl("scan_backward", _scan_backward, "CompositeExplicitAutograd")
torch.library.register_fake("sd_localmamba::scan", _fake_scan, lib=library)
torch.library.register_fake("sd_localmamba::scan_backward", _fake_scan_backward, lib=library)
torch.library.register_autograd("sd_localmamba::scan", _differentiate, setup_context=_keep, lib=library)
torch.library.register_autograd("sd_localmamba::scan_backward", refuse, lib=library)


@register_flop_formula([torch.ops.sd_localmamba.scan])
def _flops(*shapes: Any, **_: Any) -> int:
    u, _delta, A, *_others = shapes
    return FLOPS * int(prod(u) * A[-1])


@register_flop_formula([torch.ops.sd_localmamba.scan_backward])
def _flops_backward(*shapes: Any, **_: Any) -> int:
    _dy, u, _delta, A, *_others = shapes
    return FLOPS_BACKWARD * int(prod(u) * A[-1])
