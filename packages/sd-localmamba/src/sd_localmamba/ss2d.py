"""Two-dimensional selective scan: a state space model that reads a grid in several directions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_localmamba.directions import ScanOrders
from sd_localmamba.fusion import DirectionGates
from sd_localmamba.scan.selective import scan_tokens

STEPS = (1e-3, 0.1)
"""Range of the step sizes that channels start with (Mamba, Gu & Dao 2023, section 3.6)."""


class SS2D(nn.Module):
    """SS2D (VMamba, Liu 2024, section 4.2) with the directions and the gates of LocalMamba (Huang 2024).

    Linear to x and a gate, depthwise convolution, then a selective scan (Mamba, Gu & Dao 2023, algorithm 2)
    per direction with its own step sizes, B, C, A and D; their gated sum, LayerNorm, gate, linear. The output
    starts at zero.

    Args:
        width: Channels of a token.
        rows: Of the grid.
        columns: Of the grid.
        directions: Names as in the options.
        channels: Of each scan.
        states: Per channel.
        rank: Of the projection to the step sizes.
        backend: Of the scan.
    """

    def __init__(
        self,
        width: int,
        rows: int,
        columns: int,
        directions: Sequence[str],
        *,
        channels: int,
        states: int = 16,
        rank: int = 4,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.backend = backend
        self.sizes = [rank, states, states]
        self.orders = ScanOrders(directions, rows, columns)
        count = len(directions)
        self.in_proj = nn.Linear(width, 2 * channels, bias=False)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.scan_proj = nn.Linear(channels, count * sum(self.sizes), bias=False)
        self.step_proj = nn.Parameter(torch.empty(count, rank, channels).uniform_(-(rank**-0.5), rank**-0.5))
        self.step_bias = nn.Parameter(_inverse_softplus(_log_uniform(count, channels)))
        decay = torch.arange(1, states + 1, dtype=torch.float32)
        self.log_decay = nn.Parameter(decay.log().expand(count, channels, states).clone())
        self.skip = nn.Parameter(torch.ones(count, channels))
        self.gates = DirectionGates(channels)
        self.norm = nn.LayerNorm(channels)
        self.out_proj = nn.Linear(channels, width, bias=False)
        nn.init.zeros_(self.out_proj.weight)

    def tables(self) -> list[nn.Parameter]:
        """Parameters with several axes that no matrix product uses: no weight decay."""
        return [self.step_bias, self.log_decay, self.skip]

    def forward(self, x: Tensor) -> Tensor:
        """From x (B, rows, columns, width) -> (B, rows, columns, width)."""
        x, gate = self.in_proj(x).chunk(2, dim=-1)
        x = self.conv(x.movedim(-1, 1)).movedim(1, -1)  # channels stay last in memory
        y = self._scan(F.silu(x.flatten(1, 2)))
        y = self.norm(self.orders.collect(self.gates(y))).unflatten(1, gate.shape[1:3])
        out: Tensor = self.out_proj(y.to(gate.dtype) * F.silu(gate))
        return out

    def _scan(self, x: Tensor) -> Tensor:
        """All directions of x (B, L, C), each in its own order: (B, K, L, C)."""
        own = self.scan_proj(x).unflatten(-1, (len(self.step_proj), -1))
        step, B, C = self.orders.arrange_own(own).split(self.sizes, dim=-1)
        delta = step @ self.step_proj
        A = -self.log_decay.to(torch.promote_types(x.dtype, torch.float32)).exp()
        return scan_tokens(self.orders.arrange(x), delta, A, B, C, self.skip, self.step_bias, backend=self.backend)


def _log_uniform(*shape: int) -> Tensor:
    low, high = (math.log(step) for step in STEPS)
    return torch.empty(shape).uniform_(low, high).exp()


def _inverse_softplus(step: Tensor) -> Tensor:
    return step + torch.log(-torch.expm1(-step))
