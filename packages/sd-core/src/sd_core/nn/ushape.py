"""The U of token grids: coarser and wider on the way down, back up with the skips mixed in (HDiT, Crowson 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.errors import SdError

Merge = tuple[int, int]
"""How many rows and columns of tokens become one."""


@dataclass(frozen=True)
class Level:
    """What a block is told about where it stands."""

    index: int
    """0 is the finest."""
    width: int
    """Channels of a token."""
    rows: int
    columns: int
    step: tuple[float, float]
    """Height and width of a token, in cells of the network's input."""
    is_middle: bool
    """The coarsest level, passed once; the others are passed on the way down and again on the way up."""
    turn: int = 0
    """How many blocks of this level stand before it, those on the way down included."""


def halving_merges(rows: int, columns: int, count: int) -> tuple[Merge, ...]:
    """`count` merges that halve an axis as long as its number of tokens is even: 20 -> 10 -> 5 -> 5."""
    merges = []
    for _ in range(count):
        merge = tuple(2 if size % 2 == 0 else 1 for size in (rows, columns))
        rows, columns = rows // merge[0], columns // merge[1]
        merges.append((merge[0], merge[1]))
    return tuple(merges)


class TokenMerge(nn.Module):
    """Cells of m x n neighbouring tokens become one token, by a linear map.

    An axis that its factor does not divide is padded with zero tokens at its end: less than a cell,
    so that every merged token holds a real one.
    """

    def __init__(self, width: int, wider: int, merge: Merge) -> None:
        super().__init__()
        self.merge = merge
        self.project = nn.Linear(merge[0] * merge[1] * width, wider, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, rows, columns, width) -> (B, ceil(rows / m), ceil(columns / n), wider)."""
        down, right = (-size % factor for size, factor in zip(x.shape[1:3], self.merge, strict=True))
        if down or right:
            x = F.pad(x, (0, 0, 0, right, 0, down))
        if self.merge != (1, 1):
            batch, rows, columns, width = x.shape
            (m, n) = self.merge
            cells = x.reshape(batch, rows // m, m, columns // n, n * width)
            x = cells.transpose(2, 3).reshape(batch, rows // m, columns // n, m * n * width)
        out: Tensor = self.project(x)
        return out


class TokenSplit(nn.Module):
    """The way back of `TokenMerge`, mixed with the skip by a learned share that starts at one half."""

    def __init__(self, wider: int, width: int, merge: Merge) -> None:
        super().__init__()
        self.merge = merge
        self.project = nn.Linear(wider, merge[0] * merge[1] * width, bias=False)
        self.share = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """From x (B, r, c, wider) and skip (B, rows, columns, width) -> shape and dtype of skip."""
        x = self.project(x).to(skip.dtype)
        if self.merge != (1, 1):
            batch, rows, columns, _ = x.shape
            (m, n), width = self.merge, skip.shape[-1]
            cells = x.reshape(batch, rows, columns, m, n * width).transpose(2, 3)
            x = cells.reshape(batch, rows * m, columns * n, width)[:, : skip.shape[1], : skip.shape[2]]
        return torch.lerp(skip, x, self.share.to(skip.dtype))


class Way(nn.ModuleList):
    """The blocks that are passed on a level, down, in the middle or up."""

    def __init__(self, level: Level, depth: int, block: Callable[[Level], nn.Module], first: int = 0) -> None:
        super().__init__(block(replace(level, turn=first + turn)) for turn in range(depth))

    def forward(self, x: Tensor, condition: Tensor, *context: Tensor | None) -> Tensor:
        """From x (B, rows, columns, width) -> the same shape."""
        for block in self:
            x = block(x, condition, *context)
        return x


class UShape(nn.Module):
    """Levels of blocks on ever coarser token grids, and back with the skips (HDiT, Crowson 2024, figure 3).

    Args:
        rows: Tokens along the height, at the finest level.
        columns: Tokens along the width.
        widths: Channels per level.
        depths: Blocks per level; the last stands in the middle, the others on the way down and again up.
        block: Makes a block for a level; it is called as block(x, condition, *context) and keeps the shape of x.
        step: Height and width of a token of the finest level, in any physical unit.
        merges: Rows and columns that become one, per step down; without it, 2 where an axis is even.

    Raises:
        SdError: A merge is larger than the level that it would merge.
        ValueError: The lists do not belong together, or a factor is below 1.
    """

    levels: tuple[Level, ...]

    def __init__(
        self,
        rows: int,
        columns: int,
        widths: Sequence[int],
        depths: Sequence[int],
        block: Callable[[Level], nn.Module],
        *,
        step: tuple[float, float] = (1.0, 1.0),
        merges: Sequence[Merge] | None = None,
    ) -> None:
        super().__init__()
        merges = halving_merges(rows, columns, len(widths) - 1) if merges is None else tuple(merges)
        if not len(widths) == len(depths) == len(merges) + 1 or any(min(merge) < 1 for merge in merges):
            raise ValueError(f"widths {widths}, depths {depths} and merges {merges} do not make a U")
        self.levels = _levels(rows, columns, widths, step, merges)
        spans = list(zip(self.levels, depths, strict=True))
        self.down = nn.ModuleList(Way(level, depth, block) for level, depth in spans[:-1])
        self.middle = Way(*spans[-1], block)
        self.up = nn.ModuleList(Way(level, depth, block, first=depth) for level, depth in spans[:-1])
        pairs = list(zip(widths[:-1], widths[1:], merges, strict=True))
        self.merges = nn.ModuleList(TokenMerge(width, wider, merge) for width, wider, merge in pairs)
        self.splits = nn.ModuleList(TokenSplit(wider, width, merge) for width, wider, merge in pairs)

    def forward(self, x: Tensor, condition: Tensor, *context: Tensor | None) -> Tensor:
        """From x (B, rows, columns, widths[0]), condition (B, D) and more for the blocks -> shape of x.

        The residual stream keeps the dtype of x, under autocast too.
        """
        dtype, skips = x.dtype, []
        for way, merge in zip(self.down, self.merges, strict=True):
            skips.append(way(x, condition, *context))
            x = merge(skips[-1]).to(dtype)
        x = self.middle(x, condition, *context)
        for way, split in zip(reversed(self.up), reversed(self.splits), strict=True):
            x = way(split(x, skips.pop()), condition, *context)
        return x

    def block_modules(self) -> list[nn.Module]:
        """All blocks, in the order in which they are passed."""
        return [block for way in (*self.down, self.middle, *reversed(self.up)) for block in cast("Way", way)]


def _levels(
    rows: int, columns: int, widths: Sequence[int], step: tuple[float, float], merges: Sequence[Merge]
) -> tuple[Level, ...]:
    levels = [Level(0, widths[0], rows, columns, (float(step[0]), float(step[1])), is_middle=not merges)]
    for index, (width, (m, n)) in enumerate(zip(widths[1:], merges, strict=True), start=1):
        finer = levels[-1]
        if m > finer.rows or n > finer.columns:
            raise SdError(
                f"[model.extras] merges: {m} x {n} is larger than the {finer.rows} x {finer.columns} tokens of level "
                f"{finer.index} (from 0)"
            )
        coarse = (finer.step[0] * m, finer.step[1] * n)
        rows, columns = -(-finer.rows // m), -(-finer.columns // n)
        levels.append(Level(index, width, rows, columns, coarse, is_middle=index == len(merges)))
    return tuple(levels)
