"""RMS norm with a gain per example on a CPU, by a C kernel: each way one pass instead of four."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sd_core.nn.tasks import TaskKernel

_KERNEL = TaskKernel(Path(__file__).with_name("rms.c"), "RMS norm")
_GROUP = 16
_TOKENS = 1024
"""Of a task; part of the gradients' rounding, so threads do not change it."""
_WORTH_A_THREAD = 1 << 18
"""Numbers."""


def takes(x: Tensor, gain: Tensor) -> bool:
    """Whether `scaled_rms_norm` is for these: plain tensors of one precision on a CPU, not to be traced.

    False too where the kernel cannot be built; the log says so once.
    """
    if torch.compiler.is_compiling() or type(x) is not Tensor or x.device.type != "cpu":
        return False
    shaped = gain.shape == (len(x), x.shape[-1]) and x.shape[-1] % _GROUP == 0 and x.numel() > 0
    return shaped and x.dtype == gain.dtype and _KERNEL.takes(x.dtype)


def scaled_rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """X / rms(x) * gain; it cannot be differentiated twice.

    Args:
        x: (B, ..., D).
        gain: (B, D).
        epsilon: Added to the mean square.
    """
    out: Tensor = _ScaledRMSNorm.apply(x, gain, epsilon)  # type: ignore[no-untyped-call]
    return out


class _ScaledRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        x, gain = x.contiguous(), gain.contiguous()
        y, inverse = torch.empty_like(x), x.new_empty(x.shape[:-1])
        _run("forward", x, epsilon, (x, gain, y, inverse))
        ctx.save_for_backward(x, gain, inverse)
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, inverse = ctx.saved_tensors
        to_x, parts = torch.empty_like(x), x.new_empty(len(x), _pieces(x), x.shape[-1])
        _run("backward", x, 0.0, (gradient.contiguous(), x, gain, inverse, to_x, parts))
        return to_x, parts.sum(1), None


def _pieces(x: Tensor) -> int:
    return -(-(x.numel() // (len(x) * x.shape[-1])) // _TOKENS)


def _run(function: str, x: Tensor, epsilon: float, tensors: tuple[Tensor, ...]) -> None:
    sizes = (len(x), x.numel() // (len(x) * x.shape[-1]), x.shape[-1], _TOKENS)
    tasks = len(x) * _pieces(x)
    _KERNEL.run(function, sizes, epsilon, tensors, tasks=tasks, worth=-(-_WORTH_A_THREAD * tasks // x.numel()))
