"""Queries and keys of cosine attention: brought to length one, turned by their positions, scaled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the squared length of queries and keys."""


def units(x: Tensor) -> Tensor:
    """X / |x| over the last axis."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + EPSILON)


def turned_units(x: Tensor, factor: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Factor * turn(x / |x|) over the last axis, in the dtype of x.

    One function with a gradient of its own: written as a chain, it would keep every step in memory and
    pass twice as often over it, in what is, beside the products of matrices, most of a block's time.

    Args:
        x: Queries and keys (B, rows, columns, 2, heads, head_dim).
        factor: (2, heads).
        cos: Tables of `sd_core.nn.rope`, (rows, columns, 1, heads, head_dim).
        sin: The same.
    """
    out: Tensor = _TurnedUnits.apply(x, factor, cos.to(x.dtype), sin.to(x.dtype))  # type: ignore[no-untyped-call]
    return out


class _TurnedUnits(torch.autograd.Function):
    """y = f R x / |x|, where the turn R keeps lengths.

    With h = R^T g for a gradient g of y: dx = f / |x| (h - x (x . h) / |x|^2) and df = sum (x . h) / |x|.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x.contiguous()  # one copy is cheaper than four passes over a slice
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        inverse = torch.rsqrt(length.square() + EPSILON)
        ctx.save_for_backward(x, factor, cos, sin, inverse)
        turned = torch.addcmul(x * cos, _swap(x), sin)
        return turned.mul_((inverse * factor[..., None]).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,) = gradients
        x, factor, cos, sin, inverse = ctx.saved_tensors
        back = torch.addcmul(gradient * cos, _swap(gradient), _swap(sin))
        along = inverse * (x * back).sum(-1, keepdim=True, dtype=inverse.dtype)
        share = inverse * factor[..., None]
        dx = torch.addcmul(back, x, (-along * inverse).to(x.dtype)).mul_(share.to(x.dtype))
        return dx, along.sum((0, 1, 2, 5)).to(factor.dtype), None, None


def _swap(x: Tensor) -> Tensor:
    return torch.roll(x, x.shape[-1] // 2, dims=-1)
