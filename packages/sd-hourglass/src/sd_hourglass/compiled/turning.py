"""Queries and keys of cosine attention by a C kernel on a CPU, in one pass from the projection's output and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sd_core.nn.tasks import TaskKernel
from sd_hourglass.cosine import EPSILON

_KERNEL = TaskKernel(Path(__file__).with_name("turning.c"), "the turn of queries and keys")
_GROUP = 32
"""Channels of a head come in multiples of it, in halves of a whole vector each."""
_TOKENS = 1024
"""Of a task; part of the gradients' rounding, so threads do not change it."""
_WORTH_A_THREAD = 1 << 18
"""Numbers."""


def takes(qkv: Tensor, scale: Tensor) -> bool:
    """Whether `turned` is for these: plain tensors of one precision on a CPU, not to be traced.

    False too where the kernel cannot be built; the log says so once.
    """
    if torch.compiler.is_compiling() or type(qkv) is not Tensor or qkv.device.type != "cpu":
        return False
    shaped = qkv.shape[-1] % _GROUP == 0 and qkv.numel() > 0
    return shaped and qkv.dtype == scale.dtype and _KERNEL.takes(qkv.dtype)


def turned(qkv: Tensor, scale: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale * turn(query / |query|), turn(key / |key|), value: as `sd_hourglass.cosine.turned_units` defines them.

    Args:
        qkv: Queries, keys and values (B, rows, columns, 3, heads, head_dim).
        scale: Of the queries (heads,).
        cos: Tables of `sd_core.nn.rope`, (rows, columns, 1, heads, head_dim).
        sin: The same.

    Returns:
        Three of (B, rows, columns, heads, head_dim). They cannot be differentiated twice.
    """
    parts: tuple[Tensor, Tensor, Tensor] = _Turned.apply(  # type: ignore[no-untyped-call]
        qkv, scale, cos.to(qkv.dtype), sin.to(qkv.dtype)
    )
    return parts


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, scale: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        qkv = qkv.contiguous()
        parts = tuple(qkv.new_empty(*qkv.shape[:3], *qkv.shape[4:]) for _ in range(3))
        _run("forward", qkv, (qkv, scale, cos, sin, *parts))
        ctx.save_for_backward(qkv, scale, cos, sin)
        return parts

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        qkv, scale, cos, sin = ctx.saved_tensors
        told = (gradient.contiguous() for gradient in gradients)
        to_qkv, to_scale = torch.empty_like(qkv), scale.new_empty(_tasks(qkv), len(scale))
        tensors = (*told, qkv, scale, cos, sin, to_qkv, to_scale)
        _run("backward", qkv, tensors)
        return to_qkv, to_scale.sum(0), None, None


def _tasks(qkv: Tensor) -> int:
    batch, rows, columns, *_ = qkv.shape
    return int(batch * -(-rows * columns // _TOKENS))


def _run(function: str, qkv: Tensor, tensors: tuple[Tensor, ...]) -> None:
    batch, rows, columns, _, heads, width = qkv.shape
    sizes, tasks = (batch, rows * columns, heads, width, _TOKENS), _tasks(qkv)
    _KERNEL.run(function, sizes, EPSILON, tensors, tasks=tasks, worth=-(-_WORTH_A_THREAD * tasks // qkv.numel()))
