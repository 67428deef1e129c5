"""Rectangular grids cut into rectangular patches."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from sd_core.errors import SdError
from sd_core.task import GridShape

Side = int | Literal["all"]
"""Extent of a patch along an axis; "all" spans the axis."""

MANY_TOKENS = 4096
"""Token count from which a network warns: attention costs its square."""


@dataclass(frozen=True)
class Patches:
    """How a grid (C, H, W) becomes tokens, and back.

    An axis that its patch does not divide is padded with zeros at its end, and cropped on the way
    back. The zeros are values inside the last patches, never tokens of their own.
    """

    shape: GridShape
    height: int
    width: int

    @classmethod
    def of(cls, shape: GridShape, sides: tuple[Side, Side]) -> Patches:
        """Patches of `sides` (height, width) for a grid.

        Raises:
            SdError: a patch is empty or larger than the grid.
        """
        extents = (("height", shape.height), ("width", shape.width))
        height, width = (_extent(side, size, axis) for side, (axis, size) in zip(sides, extents, strict=True))
        return cls(shape, height, width)

    @property
    def rows(self) -> int:
        """Patches along the height."""
        return -(-self.shape.height // self.height)

    @property
    def columns(self) -> int:
        """Patches along the width."""
        return -(-self.shape.width // self.width)

    @property
    def count(self) -> int:
        """Number of patches."""
        return self.rows * self.columns

    @property
    def values(self) -> int:
        """Numbers in a patch."""
        return self.shape.channels * self.height * self.width

    def split(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, count, values), patches row by row."""
        if tuple(x.shape[1:]) != tuple(self.shape):
            raise ValueError(f"the network was built for {self.shape}, the input is {tuple(x.shape)}")
        down, right = self.rows * self.height - self.shape.height, self.columns * self.width - self.shape.width
        if down or right:
            x = F.pad(x, (0, right, 0, down))
        cells = x.reshape(len(x), self.shape.channels, self.rows, self.height, self.columns, self.width)
        return cells.permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.count, self.values)

    def join(self, patches: Tensor) -> Tensor:
        """(B, count, values) -> (B, C, H, W)."""
        channels, height, width = self.shape
        cells = patches.reshape(len(patches), self.rows, self.columns, channels, self.height, self.width)
        x = cells.permute(0, 3, 1, 4, 2, 5)
        x = x.reshape(len(patches), channels, self.rows * self.height, self.columns * self.width)
        return x[:, :, :height, :width]


def default_patch(shape: GridShape, *, picture: int, series: tuple[Side, Side]) -> tuple[Side, Side]:
    """The patch for a grid when the config names none: a square, or what suits a series.

    A series is at least 512 samples long and 16 times as wide as high. Its rows are electrodes, in no
    order that a square would respect.

    Args:
        shape: Of the grid.
        picture: Side of the square.
        series: Patch of a series.
    """
    if shape.width >= max(512, 16 * shape.height):
        return series
    return (min(picture, shape.height), min(picture, shape.width))


def _extent(side: Side, size: int, axis: str) -> int:
    extent = size if side == "all" else side
    if not 1 <= extent <= size:
        raise SdError(
            f"[model.extras] patch_size: {extent} does not fit the {axis} {size} of the grid; "
            f'choose 1 to {size}, or "all"'
        )
    return extent


def warn_of_many_tokens(count: int) -> None:
    """Say the token count of a network when it passes `MANY_TOKENS`."""
    if count > MANY_TOKENS:
        warnings.warn(
            f"the network works on {count} tokens, and attention costs their square: "
            "a larger [model.extras] patch_size makes fewer",
            stacklevel=3,
        )
