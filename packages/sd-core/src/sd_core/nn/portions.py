"""The gated feed-forward layer on a CPU, a few tokens at a time.

Between two matrices a gated layer is four to six tensors several times as wide as its tokens. Taken as a whole
they pass through memory once per operation; a portion of tokens stays in the processor's cache until it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sd_core.nn.gating import gated, gated_backward

_TOKENS = 1024
"""Of a portion, per thread. Measured in steps of hourglass: 512 and 8,192 take 5 to 10 % longer."""


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether `geglu` is for this input: a plain tensor on a CPU, in the dtype of its weights, not to be traced."""
    eager = not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
    return eager and type(x) is Tensor and x.device.type == weight.device.type == "cpu" and x.dtype == weight.dtype


def geglu(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """Down (up(x) * gelu(gate(x))), as of `sd_core.nn.feedforward.GEGLU`; it cannot be differentiated twice.

    Args:
        x: Tokens (..., width).
        gate_up: Weight (2 * hidden, width), up before gate.
        down: Weight (width, hidden).
    """
    keep = torch.is_grad_enabled() and any(part.requires_grad for part in (x, gate_up, down))
    tokens = x.reshape(-1, x.shape[-1])
    if keep:
        out: Tensor = _GEGLU.apply(tokens, gate_up, down)  # type: ignore[no-untyped-call]
    else:
        out = _forward(tokens, gate_up, down, None)
    return out.view(*x.shape[:-1], len(down))


class _GEGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
        both = x.new_empty(len(x), len(gate_up))
        out = _forward(x, gate_up, down, both)
        ctx.save_for_backward(x, gate_up, down, both)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(gradient, ctx.saved_tensors, ctx.needs_input_grad)


def _forward(x: Tensor, gate_up: Tensor, down: Tensor, both: Tensor | None) -> Tensor:
    """The output; `both` (tokens, 2 * hidden) takes up(x) and gate(x) where they are needed again."""
    out = x.new_empty(len(x), len(down))
    most = min(_portion(), len(x))
    room, other_room = x.new_empty(most, down.shape[1]), x.new_empty(most, len(gate_up))
    for some in _portions(len(x)):
        tokens = x[some]
        product, kept = room[: len(tokens)], other_room[: len(tokens)] if both is None else both[some]
        gated(torch.mm(tokens, gate_up.t(), out=kept), product)
        torch.mm(product, down.t(), out=out[some])
    return out


def _backward(gradient: Tensor, saved: tuple[Tensor, ...], needed: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    """Gradients of x, gate_up and down, those that are needed."""
    x, gate_up, down, both = saved
    to_x = torch.empty_like(x) if needed[0] else None
    to_gate_up, to_down = (
        torch.zeros_like(part) if need else None for part, need in zip(saved[1:3], needed[1:], strict=True)
    )
    most = min(_portion(), len(x))
    room, other_room = x.new_empty(2, most, down.shape[1]), x.new_empty(most, len(gate_up))
    for some in _portions(len(x)):
        told = gradient[some]
        (product, to_product), to_both = room[:, : len(told)], other_room[: len(told)]
        torch.mm(told, down, out=to_product)
        gated_backward(to_product, both[some], to_both, product)
        if to_down is not None:
            torch.addmm(to_down, told.t(), product, out=to_down)
        if to_gate_up is not None:
            torch.addmm(to_gate_up, to_both.t(), x[some], out=to_gate_up)
        if to_x is not None:
            torch.mm(to_both, gate_up, out=to_x[some])
    return to_x, to_gate_up, to_down


def _portion() -> int:
    return _TOKENS * torch.get_num_threads()


def _portions(count: int) -> Iterator[slice]:
    for first in range(0, count, _portion()):
        yield slice(first, min(first + _portion(), count))
