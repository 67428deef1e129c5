"""Shifted-window attention (Swin, Liu 2021): a cheap alternative to neighborhoods."""

from __future__ import annotations

from torch import Tensor, nn

from sd_core.plugin import SdError
from sd_hourglass.tiles import TileAttention
from sd_hourglass.tilings import Tiling, grid_tiling, window_axis


class ShiftedWindowAttention(nn.Module):
    """Attention inside square windows side by side; with `shift` they lie half a window further.

    Blocks take turns with and without the shift, so that windows exchange what they know.

    Args:
        rows: Of the grid.
        columns: Of the grid.
        window: Side of a window in tokens; an axis with fewer tokens is spanned.
        shift: Whether the windows lie half of one further; on an axis that is spanned, never.

    Raises:
        SdError: Without a token in the window.
    """

    def __init__(self, rows: int, columns: int, window: int, shift: bool) -> None:
        super().__init__()
        if window < 1:
            raise SdError(f"window: {window} tokens hold nothing; take at least 1")
        self.grid = (rows, columns)
        self.window = window
        self.shift = shift
        self.tiles = TileAttention(rows * columns, self._tiling)

    def _tiling(self) -> Tiling:
        rows, columns = (window_axis(size, self.window, shift=self.shift) for size in self.grid)
        return grid_tiling(rows, columns, self.grid[1])

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
