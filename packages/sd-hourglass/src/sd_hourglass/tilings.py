"""How a grid is cut for local attention: which tokens a tile asks for, which it reads, who sees whom.

Everything is arithmetic on ranges, axis by axis, so that a tiling can be computed on any device,
without memory too: nothing depends on a value read back.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

_KEY_COST = 25
"""What gathering a key and scattering its gradient costs, in pairs of a query and a key (64 channels, fp32)."""
_LARGEST_TILE = 64


@dataclass(frozen=True)
class Tiling:
    """T tiles of a grid or of one of its axes, each with Q queries and K keys."""

    queries: Tensor
    """(T, Q): which token stands in a query's slot; every token stands in one at least."""
    keys: Tensor
    """(T, K): which token stands in a key's slot."""
    sees: Tensor
    """(T, Q, K), bool: whether the query may see the key; each sees one at least."""


def neighborhood_axis(size: int, kernel: int, tile: int) -> Tiling:
    """Tiles of `tile` positions with the halo that their windows reach into.

    The window of position i holds `kernel` positions, i in the middle, shifted inward at the
    borders, so that no position sees fewer (Hassani 2023); where the axis is shorter, all of it.
    The last tile is shifted inward too and may repeat positions of the one before.
    """
    kernel, tile = min(kernel, size), min(tile, size)
    reach = min(size, tile + kernel - 1)
    first = (torch.arange(0, size, tile)).clamp(max=size - tile)
    queries = first[:, None] + torch.arange(tile)
    window = (queries - kernel // 2).clamp(0, size - kernel)
    keys = window[:, :1].clamp(max=size - reach) + torch.arange(reach)
    offset = keys[:, None, :] - window[:, :, None]
    return Tiling(queries, keys, (offset >= 0) & (offset < kernel))


@functools.cache
def best_tile(grid: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the tile of queries that costs least.

    Large tiles pair queries with many keys outside their windows, small ones gather every key many
    times. The balance was measured on one core of a CPU, 64 channels: 4 x 8 on 32 x 32 with 7 x 7,
    all ten rows x 4 on 10 x 128. Ties go to the wider tile, whose tokens lie together in memory.
    """
    rows, columns = grid
    sides = [
        (high, wide)
        for high in range(1, min(rows, _LARGEST_TILE) + 1)
        for wide in range(1, min(columns, _LARGEST_TILE // high) + 1)
    ]

    def cost(tile: tuple[int, int]) -> tuple[int, int]:
        (high, wide), (tall, broad) = tile, window
        keys = min(rows, high + tall - 1) * min(columns, wide + broad - 1)
        count = -(-rows // high) * -(-columns // wide)
        return count * keys * (high * wide + _KEY_COST), -wide

    return min(sides, key=cost)


def window_axis(size: int, window: int, *, shift: bool) -> Tiling:
    """Windows side by side, by choice shifted cyclically by half of one (Liu 2021, section 3.2).

    Where the cyclic shift joins the two ends of the axis, they do not see each other. The slots that
    lie beyond the axis hold the first token of their window again and are seen by none: there is no
    padding whose values could leak. An axis that fits into one window is one, and never shifted.
    """
    window = min(window, size)
    count = -(-size // window)
    by = window // 2 if shift and count > 1 else 0
    slots = ((torch.arange(count * window) + by) % (count * window)).reshape(count, window)
    real = slots < size
    tokens = torch.where(real, slots, slots.amin(1, keepdim=True))
    group = torch.div(tokens - by, window, rounding_mode="floor")
    return Tiling(tokens, tokens, real[:, None, :] & (group[:, :, None] == group[:, None, :]))


def grid_tiling(rows: Tiling, columns: Tiling, width: int) -> Tiling:
    """The tiles of a grid whose rows have `width` tokens: every pair of a row tile and a column tile."""
    sees = rows.sees[:, None, :, None, :, None] & columns.sees[None, :, None, :, None, :]
    return Tiling(
        _pairs(rows.queries, columns.queries, width),
        _pairs(rows.keys, columns.keys, width),
        sees.flatten(0, 1).flatten(1, 2).flatten(2, 3),
    )


def _pairs(rows: Tensor, columns: Tensor, width: int) -> Tensor:
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).flatten(0, 1).flatten(1, 2)
