"""What several directions say about a token, as one."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DirectionGates(nn.Module):
    """A gate per channel and a gate per position for each direction, before they are summed (LocalMamba, figure 3b).

    The gates are the bi-dimensional attention of LightViT (Huang 2022): both see the mean of a direction
    over the grid, the gate per position sees the position too. One set of weights serves all directions.
    They do not ask where a token stands, and so work on the tokens in the order of each scan.
    """

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        self.hidden = max(4, width // reduction)
        self.norm = nn.LayerNorm(width)
        self.reduce = nn.Linear(width, 2 * self.hidden)
        self.channel = nn.Linear(self.hidden, width)
        self.position = nn.Linear(self.hidden, 1)
        self.position_of_mean = nn.Linear(self.hidden, 1, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        """From y (B, K, L, C) -> (B, K, L, C), gated."""
        local, summary = self.reduce(self.norm(y)).split(self.hidden, dim=-1)
        summary = F.gelu(summary.mean(2, keepdim=True))  # of the reduced: the mean and a linear map change places
        channel = self.channel(summary).sigmoid().to(y.dtype)
        position = (self.position(F.gelu(local)) + self.position_of_mean(summary)).sigmoid().to(y.dtype)
        gated: Tensor = _Gate.apply(y, channel, position)  # type: ignore[no-untyped-call]
        return gated


class _Gate(torch.autograd.Function):
    """y (B, K, L, C) times channel (B, K, 1, C) and position (B, K, L, 1).

    Autograd would keep a product besides y, and reduce two more: memory, in which most of the time goes.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, channel: Tensor, position: Tensor) -> Tensor:
        ctx.save_for_backward(y, channel, position)
        return (y * channel).mul_(position)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, channel, position = ctx.saved_tensors
        product = gradients[0] * y
        return (
            (gradients[0] * channel).mul_(position),
            position.transpose(-1, -2) @ product,
            product @ channel.transpose(-1, -2),
        )
