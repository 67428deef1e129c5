"""Where training looks along the path: inverse distribution functions of t, and strata."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MARGIN = 1e-5
"""Quantiles stay this far from 0 and 1, where inverse distribution functions may be infinite."""


def stratify(jitter: Tensor, order: Tensor, strata: int | None = None) -> Tensor:
    """One quantile per stratum, so that a batch covers the whole density of t.

    Args:
        jitter: (B,) uniform in [0, 1), the place inside the stratum.
        order: (B,) integers, the stratum of each row: a permutation of 0..B-1, or one process's
            share of the permutation of the global batch.
        strata: The number of strata; B unless `order` is a share.

    Returns:
        (B,) float64 in [1e-5, 1 - 1e-5].
    """
    count = len(order) if strata is None else strata
    return ((order.double() + jitter.double()) / count).clamp(MARGIN, 1 - MARGIN)


def logit_normal(quantiles: Tensor, mean: float, std: float) -> Tensor:
    """Quantiles (B,) -> t (B,) whose logit is normal (SD3, equation 19)."""
    return torch.sigmoid(mean + std * torch.special.ndtri(quantiles.double()))


def mode(quantiles: Tensor, scale: float) -> Tensor:
    """Quantiles (B,) -> t (B,) drawn to the middle for positive scales (SD3, equation 20).

    The paper's map falls from 1 to 0; taken at 1 - u it is the increasing inverse distribution
    function of the same density. It is monotone for scales in [-1, 2 / (pi - 2)].
    """
    u = quantiles.double()
    return u - scale * (torch.sin(math.pi / 2 * u) ** 2 - u)


def uniform(quantiles: Tensor) -> Tensor:
    """Quantiles (B,) -> the same t (B,)."""
    return quantiles.double()
