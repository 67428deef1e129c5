"""Neighborhood attention (Hassani 2023): every token sees the window of tokens around it."""

from __future__ import annotations

from torch import Tensor, nn

from sd_hourglass.tiles import TileAttention
from sd_hourglass.tilings import Tiling, grid_tiling, neighborhood_axis

TILE = (4, 8)


class NeighborhoodAttention(nn.Module):
    """The attention alone, without projections: kernel x kernel tokens, shifted inward at the borders."""

    def __init__(self, rows: int, columns: int, kernel: int) -> None:
        super().__init__()
        self.grid = (rows, columns)
        self.kernel = kernel
        self.tiles = TileAttention(rows * columns, self._tiling)

    def _tiling(self) -> Tiling:
        (rows, columns), (high, wide) = self.grid, TILE
        return grid_tiling(
            neighborhood_axis(rows, self.kernel, high), neighborhood_axis(columns, self.kernel, wide), columns
        )

    def forward(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Of (B, rows, columns, heads, head_dim) each, the same shape, in the dtype of `value`.

        Args:
            query: What each token asks.
            key: What each token answers to.
            value: What each token tells.
            scale: Factor of the products of queries and keys; 1 where both carry it already.
        """
        out: Tensor = self.tiles(query, key, value, scale)
        return out
