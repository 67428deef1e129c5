"""What a gated feed-forward layer does between its matrices, on a CPU: by a C kernel, or by PyTorch's operations."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sd_core.nn.tasks import TaskKernel

KERNEL = TaskKernel(Path(__file__).with_name("gating.c"), "the gates of feed-forward layers", dtypes=(torch.float32,))
_GROUP = 16
_NUMBERS = 1 << 15
"""Of a task."""
_WORTH_A_THREAD = 4
"""Tasks."""


def gated(both: Tensor, out: Tensor) -> None:
    """Write up * gelu(gate).

    Args:
        both: Up beside gate, (tokens, 2 * hidden), contiguous.
        out: (tokens, hidden), contiguous.
    """
    if _kernel_takes(both):
        return _run("forward", (both, out))
    up, gate = both.chunk(2, dim=1)
    torch.ops.aten.gelu.out(gate, out=out)
    out.mul_(up)
    return None


def gated_backward(told: Tensor, both: Tensor, to_both: Tensor, product: Tensor) -> None:
    """Write the gradient of `both`, and the product itself, which the gradient of the next matrix needs.

    Args:
        told: Gradient of the product (tokens, hidden), contiguous.
        both: As for `gated`.
        to_both: Where its gradient goes.
        product: Where up * gelu(gate) goes, contiguous.
    """
    if _kernel_takes(both):
        return _run("backward", (told, both, to_both, product))
    (up, gate), (to_up, to_gate) = both.chunk(2, dim=1), to_both.chunk(2, dim=1)
    torch.mul(told, up, out=to_gate)
    torch.ops.aten.gelu_backward.grad_input(to_gate, gate, grad_input=to_gate)
    torch.ops.aten.gelu.out(gate, out=product)
    torch.mul(told, product, out=to_up)
    product.mul_(up)
    return None


def _kernel_takes(both: Tensor) -> bool:
    return both.shape[1] % (2 * _GROUP) == 0 and both.numel() > 0 and KERNEL.takes(both.dtype)


def _run(function: str, tensors: tuple[Tensor, ...]) -> None:
    tokens, width = tensors[-1].shape
    piece = max(1, _NUMBERS // width)
    KERNEL.run(function, (tokens, width, piece), 0.0, tensors, tasks=-(-tokens // piece), worth=_WORTH_A_THREAD)
