"""What several directions say about a token, as one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DirectionFusion(nn.Module):
    """Sum over directions, each behind a gate per channel and a gate per position (LocalMamba, Huang 2024, figure 3b).

    The gates are the bi-dimensional attention of LightViT (Huang 2022): both see the mean of a direction
    over the grid, the gate per position sees the position too. One set of weights serves all directions.
    """

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(4, width // reduction)
        self.norm = nn.LayerNorm(width)
        self.reduce_global = nn.Linear(width, hidden)
        self.reduce_local = nn.Linear(width, hidden)
        self.channel = nn.Linear(hidden, width)
        self.position = nn.Linear(2 * hidden, 1)

    def forward(self, y: Tensor) -> Tensor:
        """From y (B, L, K, C) -> (B, L, C)."""
        normed = self.norm(y)
        summary = F.gelu(self.reduce_global(normed.mean(1, keepdim=True)))
        local = F.gelu(self.reduce_local(normed))
        together = torch.cat([local, summary.expand_as(local)], dim=-1)
        gates: Tensor = self.channel(summary).sigmoid() * self.position(together).sigmoid()
        return (y * gates).sum(2)
