"""Small grids side by side on one large grid, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from sd_core.task import GridShape


@dataclass(frozen=True)
class Tiles:
    """`count` tiles, row by row on a near-square grid that is at least as high as wide: 20 on 5 x 4.

    Where the grid has more places than there are tiles, the last ones are zero; they are dropped on the way back.
    """

    count: int
    tile: GridShape

    @property
    def rows(self) -> int:
        """Of tiles."""
        return math.isqrt(self.count - 1) + 1

    @property
    def columns(self) -> int:
        """Of tiles."""
        return -(-self.count // self.rows)

    @property
    def shape(self) -> GridShape:
        """Of the large grid."""
        channels, height, width = self.tile
        return GridShape(channels, self.rows * height, self.columns * width)

    def lay(self, tiles: Tensor) -> Tensor:
        """(B * count, C, h, w) -> (B, C, rows * h, columns * w)."""
        blanks = self.rows * self.columns - self.count
        grid = pad(tiles.unflatten(0, (-1, self.count)), (0, 0) * 3 + (0, blanks))
        grid = grid.unflatten(1, (self.rows, self.columns))
        laid: Tensor = grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, *self.shape)
        return laid

    def take(self, grid: Tensor) -> Tensor:
        """The inverse of `lay`."""
        channels, height, width = self.tile
        tiles = grid.reshape(-1, channels, self.rows, height, self.columns, width).permute(0, 2, 4, 1, 3, 5)
        return tiles.flatten(1, 2)[:, : self.count].reshape(-1, channels, height, width)
