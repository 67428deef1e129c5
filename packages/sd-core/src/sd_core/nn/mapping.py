"""From the noise level and what is known of an example to the condition of every block (HDiT, Crowson 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sd_core.nn.feedforward import GEGLU
from sd_core.nn.norms import rms_norm
from sd_core.nn.precision import without_autocast

_NEAREST = 1e-4
"""How near to 0 and 1 times are told apart; log(sigma) is infinite at both."""


def log_noise_level(t: Tensor) -> Tensor:
    """Log(sigma) / 4, float32, of times t in [0, 1], with sigma = t / (1 - t): noise over data on the straight path."""
    return torch.logit(t.float(), eps=_NEAREST) / 4


class NoiseFeatures(nn.Module):
    """cos and sin of log(sigma) / 4 at normally distributed frequencies, in float32.

    Where HDiT draws the frequencies at random, these are the quantiles of the half-normal distribution:
    the same density without a seed. They are in the state dict, so that a converted network keeps its own.
    """

    frequencies: Tensor

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.empty(features // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the frequencies, in cycles per unit, on whatever device they are."""
        count = len(self.frequencies)
        quantiles = (torch.arange(count, dtype=torch.float32) + 0.5) / count
        self.frequencies.copy_(math.sqrt(2) * torch.erfinv(quantiles))

    def forward(self, t: Tensor) -> Tensor:
        """Of t (B,) in [0, 1] -> (B, features)."""
        angles = 2 * math.pi * log_noise_level(t)[:, None] * self.frequencies.float()
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class MappingNetwork(nn.Module):
    """RMSNorm, residual gated layers, RMSNorm, in float32 even under autocast (HDiT, Crowson 2024, section 4.3).

    Args:
        width: Of the condition.
        depth: Number of gated layers.
        hidden: Their inner width.
        dropout_rate: Inside them.
    """

    def __init__(self, width: int, depth: int, hidden: int, dropout_rate: float = 0.0) -> None:
        super().__init__()
        self.gain_in = nn.Parameter(torch.ones(width))
        self.gains = nn.ParameterList(torch.ones(width) for _ in range(depth))
        self.layers = nn.ModuleList(GEGLU(width, hidden, dropout_rate) for _ in range(depth))
        self.gain_out = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """From the sum of the embedded inputs (B, width) -> the condition (B, width)."""
        with without_autocast(x.device):
            x = rms_norm(x.to(self.gain_in.dtype), self.gain_in)
            for gain, layer in zip(self.gains, self.layers, strict=True):
                x = x + layer(rms_norm(x, gain))
            return rms_norm(x, self.gain_out)
