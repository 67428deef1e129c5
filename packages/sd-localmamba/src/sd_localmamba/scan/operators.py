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

from sd_localmamba.scan import chunked

CHUNK = 32
"""Positions between two saved states; with N = 16 states they take half the memory of the input."""

FLOPS, FLOPS_BACKWARD = 9, 23
"""Operations per channel, state and position, an exponential counted as one."""

_TENSORS = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor bias"
_SEVEN = ", ".join(["Tensor"] * 7)

library = torch.library.Library("sd_localmamba", "DEF")
library.define(f"scan({_TENSORS}, str backend) -> (Tensor, Tensor)")
library.define(f"scan_backward(Tensor dy, {_TENSORS}, Tensor states, str backend) -> ({_SEVEN})")

Seven = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def _scan(*arguments: Any) -> tuple[Tensor, Tensor]:
    *tensors, _backend = arguments
    return chunked.forward(*tensors, CHUNK)


def _scan_backward(*arguments: Any) -> Seven:
    *tensors, _backend = arguments
    return chunked.backward(*tensors, CHUNK)


def _fake_scan(u: Tensor, delta: Tensor, A: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    batch, directions, length, width = u.shape
    return torch.empty_like(u), u.new_empty(batch, directions, -(-length // CHUNK), A.shape[-1], width)


def _fake_scan_backward(dy: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor) for tensor in arguments[:7])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    gradients = torch.ops.sd_localmamba.scan_backward(dy.contiguous(), *ctx.saved_tensors, ctx.backend)
    return *gradients, None


library.impl("scan", _scan, "CompositeExplicitAutograd")
library.impl("scan_backward", _scan_backward, "CompositeExplicitAutograd")
torch.library.register_fake("sd_localmamba::scan", _fake_scan, lib=library)
torch.library.register_fake("sd_localmamba::scan_backward", _fake_scan_backward, lib=library)
torch.library.register_autograd("sd_localmamba::scan", _differentiate, setup_context=_keep, lib=library)


@register_flop_formula(torch.ops.sd_localmamba.scan)
def _flops(u: tuple[int, ...], delta: tuple[int, ...], A: tuple[int, ...], *_: Any, **__: Any) -> int:
    return FLOPS * prod(u) * A[-1]


@register_flop_formula(torch.ops.sd_localmamba.scan_backward)
def _flops_backward(
    dy: tuple[int, ...], u: tuple[int, ...], delta: tuple[int, ...], A: tuple[int, ...], *_: Any, **__: Any
) -> int:
    return FLOPS_BACKWARD * prod(u) * A[-1]
