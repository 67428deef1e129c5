"""Compiled neighborhood attention as operators of PyTorch.

They are opaque to `torch.compile`, and known to FakeTensorMode and FLOP counters. They are defined by schema
and not by `torch.library.custom_op`, which imports the compiler on the first call and would make every command
that runs a network two seconds slower.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from sd_core.plugin import SdError
from sd_hourglass.compiled import kernel
from sd_hourglass.compiled.kernel import Window

INPUTS = "Tensor query, Tensor key, Tensor value"
LAST = "int tall, int wide, float scale"

library = torch.library.Library("sd_hourglass", "DEF")
library.define(f"neighborhood({INPUTS}, {LAST}, bool keep) -> (Tensor, Tensor)")
library.define(f"neighborhood_backward(Tensor gradient, {INPUTS}, Tensor weights, {LAST}) -> (Tensor, Tensor, Tensor)")


def attend(query: Tensor, key: Tensor, value: Tensor, window: Window, scale: float) -> Tensor:
    """Of (B, rows, columns, heads, head_dim) each, the same shape and dtype; see `kernel.takes`."""
    keep = torch.is_grad_enabled() and any(part.requires_grad for part in (query, key, value))
    out: Tensor = torch.ops.sd_hourglass.neighborhood(query, key, value, *window, scale, keep)[0]
    return out


def _attend(*arguments: Any) -> tuple[Tensor, Tensor]:
    query, key, value, tall, wide, scale, keep = arguments
    if not all(kernel.takes(part, query.dtype) and part.dtype == query.dtype for part in (query, key, value)):
        raise SdError(
            f"compiled neighborhood attention takes float32 or float64 on a CPU, {kernel.GROUP} channels a head or a "
            f"multiple; not {tuple(query.shape)} of {query.dtype} on {query.device}: choose backend 'auto'"
        )
    window = Window(tall, wide)
    weights = query.new_empty(kernel.weights_shape(query, window) if keep else 0)
    parts = kernel.walkable(query), kernel.walkable(key), kernel.walkable(value)
    return kernel.forward(parts, window, scale, weights), weights


def _attend_backward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    gradient, query, key, value, weights, tall, wide, scale = arguments
    parts = kernel.walkable(query), kernel.walkable(key), kernel.walkable(value)
    return kernel.backward(kernel.walkable(gradient), parts, weights, Window(tall, wide), scale)


def _fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    query, _, _, tall, wide, _, keep = arguments
    shape = kernel.weights_shape(query, Window(tall, wide)) if keep else (0,)
    return torch.empty_like(query, memory_format=torch.contiguous_format), query.new_empty(shape)


def _fake_backward(*arguments: Any) -> tuple[Tensor, ...]:
    query = arguments[1]
    return tuple(torch.empty_like(query, memory_format=torch.contiguous_format) for _ in range(3))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, *ctx.numbers, _ = inputs
    ctx.save_for_backward(query, key, value, output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    to = torch.ops.sd_hourglass.neighborhood_backward(gradient, *ctx.saved_tensors, *ctx.numbers)
    return *to, None, None, None, None


def refuse(ctx: Any, *gradients: Tensor) -> None:  # noqa: ARG001  PyTorch passes them
    """In place of a derivative of the backward pass."""
    raise RuntimeError("compiled neighborhood attention has no second derivative")


library.impl("neighborhood", _attend, "CompositeExplicitAutograd")
library.impl("neighborhood_backward", _attend_backward, "CompositeExplicitAutograd")
torch.library.register_fake("sd_hourglass::neighborhood", _fake, lib=library)
torch.library.register_fake("sd_hourglass::neighborhood_backward", _fake_backward, lib=library)
torch.library.register_autograd("sd_hourglass::neighborhood", _differentiate, setup_context=_keep, lib=library)
torch.library.register_autograd("sd_hourglass::neighborhood_backward", refuse, lib=library)


def _product_flops(query: Any, weights: int) -> int:
    """Of one product of all queries with `weights` keys each."""
    return 2 * int(prod(query)) * weights


@register_flop_formula([torch.ops.sd_hourglass.neighborhood])
def _flops(query: Any, key: Any, value: Any, tall: int, wide: int, *_: Any, **__: Any) -> int:  # noqa: ARG001
    return 2 * _product_flops(query, tall * wide)


@register_flop_formula([torch.ops.sd_hourglass.neighborhood_backward])
def _flops_backward(*shapes: Any, **_: Any) -> int:
    _gradient, query, _key, _value, _weights, tall, wide, *_others = shapes
    return 4 * _product_flops(query, tall * wide)
