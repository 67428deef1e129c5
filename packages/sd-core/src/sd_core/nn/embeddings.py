"""Times as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sd_core.nn.precision import without_autocast


class FourierFeatures(nn.Module):
    """cos and sin of t at log-spaced frequencies, 1 to 1000 rad, in float32.

    The highest tells times a thousandth apart, finer than any sampler steps; the lowest never
    wraps within [0, 1].
    """

    frequencies: Tensor

    def __init__(self, features: int = 128, highest: float = 1000.0) -> None:
        super().__init__()
        self.highest = highest
        self.register_buffer("frequencies", torch.empty(features // 2), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the frequencies, on whatever device they are."""
        exponents = torch.linspace(0, math.log(self.highest), len(self.frequencies))
        self.frequencies.copy_(exponents.exp())

    def forward(self, t: Tensor) -> Tensor:
        """Of t (B,) -> (B, features)."""
        angles = t.float()[:, None] * self.frequencies.float()
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Fourier features of t and a two-layer perceptron, in float32 even under autocast.

    Neighbouring times differ by less than bfloat16 resolves.
    """

    def __init__(self, width: int, features: int = 128) -> None:
        super().__init__()
        self.fourier = FourierFeatures(features)
        self.mlp = nn.Sequential(nn.Linear(features, width, bias=False), nn.SiLU(), nn.Linear(width, width, bias=False))

    def forward(self, t: Tensor) -> Tensor:
        """Of t (B,) in [0, 1] -> (B, width)."""
        with without_autocast(t.device):
            embedded: Tensor = self.mlp(self.fourier(t).to(self.mlp[0].weight.dtype))
        return embedded
