"""Rotary positions on a grid: each axis turns its own share of a head's channels (Su 2021; axial as in HDiT)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

Tables = tuple[Tensor, Tensor]
"""cos (N, head_dim) and sin (N, head_dim), the latter negative in its first half; see `rotate`."""


def index_frequencies(count: int, base: float = 100.0) -> Tensor:
    """Radians per token, (count,): from 1 down to nearly 1 / base, for positions counted in tokens."""
    return base ** (-torch.arange(count) / count)


def head_frequencies(heads: int, count: int) -> Tensor:
    """Radians per half box, (heads, count): log-spaced from pi up to 10 pi, dealt out to the heads in turn.

    For positions in a box [-1, 1]: each head has its own (HDiT, Crowson 2024, section 4.2).
    """
    exponents = torch.linspace(math.log(math.pi), math.log(10 * math.pi), heads * count + 1)[:-1]
    return exponents.exp().reshape(count, heads).T


def box_positions(rows: int, columns: int, step: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Centres of rows (rows,) and columns (columns,) of cells of size `step`, in a box that keeps the aspect.

    The longer side spans [-1, 1] (HDiT, Crowson 2024, section 4.2).
    """
    height, width = rows * step[0], columns * step[1]
    unit = 2 / max(height, width)
    centred = [
        (torch.arange(count, dtype=torch.float32) - (count - 1) / 2) * (size * unit)
        for count, size in zip((rows, columns), step, strict=True)
    ]
    return centred[0], centred[1]


def axial_tables(rows: Tensor, columns: Tensor, frequencies: Tensor, head_dim: int) -> Tables:
    """Rotation tables of every cell of a grid, row by row.

    Args:
        rows: Position of each row (H,), in tokens or in any physical unit.
        columns: Position of each column (W,).
        frequencies: Radians per unit of position, the same for both axes, (F,) or per head (heads, F);
            they turn 4 F channels.
        head_dim: Channels of a head, at least 4 F; those left over carry no position.

    Returns:
        cos and signed sin, each (H * W, head_dim), or per head (H * W, heads, head_dim).
    """
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    turns = [torch.tensordot(axis.flatten(), frequencies, dims=0) for axis in (row, column)]
    angles = torch.cat(turns, dim=-1)
    angles = nn.functional.pad(angles, (0, head_dim // 2 - angles.shape[-1]))
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn channel pairs (i, i + head_dim / 2) of x (B, N, heads, head_dim) by the tables' angles."""
    swapped = torch.roll(x, x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * cos[:, None], swapped.to(cos.dtype), sin[:, None])


class AxialRope(nn.Module):
    """The tables of a grid, for any number of unrotated tokens before it.

    The tables are buffers outside the state dict; `reset_parameters` computes them again after a
    network was built on the meta device and given memory.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, rows: int, columns: int, head_dim: int) -> None:
        super().__init__()
        self.grid = (rows, columns)
        self.head_dim = head_dim
        cos, sin = self._tables()
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def _tables(self) -> Tables:
        rows, columns = (torch.arange(count, dtype=torch.float32) for count in self.grid)
        return axial_tables(rows, columns, index_frequencies(self.head_dim // 4), self.head_dim)

    def reset_parameters(self) -> None:
        """Fill the tables, on whatever device they are."""
        with torch.no_grad():
            for table, values in zip((self.cos, self.sin), self._tables(), strict=True):
                table.copy_(values)

    def forward(self, prefix: int = 0) -> Tables:
        """Tables for `prefix` tokens without a position, followed by the grid."""
        if not prefix:
            return self.cos, self.sin
        still = self.cos.new_ones(prefix, self.head_dim)
        return torch.cat([still, self.cos]), torch.cat([torch.zeros_like(still), self.sin])
