"""Pre-emphasis and its exact inverse, without a loop over samples."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128
"""Samples that one triangular matrix inverts at once."""


def emphasise(signal: Tensor, amount: float) -> Tensor:
    """y[n] = x[n] - amount x[n-1] along the last axis, y[0] = sqrt(1 - amount^2) x[0].

    That first factor gives the first sample the variance of the rest if x is the autoregression that
    the filter whitens; without it, it would stand out and be clipped.
    """
    first = signal[..., :1] * (1 - amount**2) ** 0.5
    return torch.cat([first, signal[..., 1:] - amount * signal[..., :-1]], dim=-1)


def deemphasise(emphasised: Tensor, amount: float) -> Tensor:
    """Invert `emphasise`: the recursion x[n] = y[n] + amount x[n-1], float64 inside.

    The recursion is a product with the lower-triangular matrix amount^(i-j). Taken in blocks: inside a
    block with that matrix, then the ends of the blocks among each other with the matrix of
    amount^BLOCK. All entries are at most 1, so nothing can overflow. float64 costs little here and keeps
    reduced-precision matrix products (TF32, bf16) out of an inverse that must be exact.
    """
    n_samples = emphasised.shape[-1]
    x = emphasised.double()
    x = torch.cat([x[..., :1] / (1 - amount**2) ** 0.5, x[..., 1:]], dim=-1)
    x = torch.nn.functional.pad(x, (0, -n_samples % BLOCK))
    x = x.reshape(*x.shape[:-1], -1, BLOCK)
    inside = x @ _powers(amount, BLOCK, x.device).mT
    ends = inside[..., -1] @ _powers(amount**BLOCK, inside.shape[-2], x.device).mT
    carried = torch.nn.functional.pad(ends[..., :-1], (1, 0))
    decay = amount ** torch.arange(1, BLOCK + 1, device=x.device, dtype=torch.float64)
    whole = inside + carried[..., None] * decay
    return whole.flatten(-2)[..., :n_samples].to(emphasised.dtype)


def _powers(base: float, size: int, device: torch.device) -> Tensor:
    """The lower-triangular (size, size) matrix base^(i-j)."""
    index = torch.arange(size, device=device)
    lag = (index[:, None] - index[None, :]).clamp(min=0).double()
    return torch.tril(torch.tensor(base, device=device, dtype=torch.float64) ** lag)
