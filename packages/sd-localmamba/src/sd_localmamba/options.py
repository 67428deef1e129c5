"""Options of the LocalMamba network. No torch."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sd_core.plugin import Options

Side = Annotated[int, Field(ge=1)] | Literal["all"]
Count = Annotated[int, Field(ge=1)]
Merge = Annotated[tuple[Count, Count], Field(strict=False)]
_DIRECTION = re.compile(r"(?:(h|v)|w(\d+))(_flip)?")
_EXAMPLES = ("h", "h_flip", "v", "v_flip", *(f"w{size}{flip}" for size in (7, 2, 3, 4, 5, 8) for flip in ("", "_flip")))


@dataclass(frozen=True)
class Direction:
    """An order in which the tokens of a grid are read."""

    by_columns: bool = False
    """Column by column, rather than row by row."""
    window: int = 0
    """Window by window of this many rows and columns; 0 for the grid as a whole."""
    flip: bool = False
    """From the last token to the first."""

    @classmethod
    def named(cls, name: str) -> Direction:
        """The direction of a name in the config.

        Raises:
            ValueError: there is none of that name.
        """
        found = _DIRECTION.fullmatch(name)
        if not found:
            close = difflib.get_close_matches(name, _EXAMPLES, n=1, cutoff=0.3)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(
                f"'{name}' is not one of the directions h, v and wK (windows of K x K, such as w7), "
                f"each also with _flip{hint}"
            )
        axis, window, flip = found.groups()
        if window is not None and int(window) < 1:
            raise ValueError(f"'{name}': the windows of directions must be at least 1 x 1, such as w7")
        return cls(by_columns=axis == "v", window=int(window or 0), flip=flip is not None)


def _known(name: str) -> str:
    Direction.named(name)
    return name


class LocalMambaOptions(Options):
    """`[model.extras]` of `localmamba`."""

    patch_size: Annotated[tuple[Side, Side] | None, Field(strict=False)] = None
    """[height, width] of a patch, "all" spans an axis; without it [2, 2], or [1, 8] for a series."""
    depths: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = (2, 2, 6, 2)
    """Blocks of each level; the last is the middle, the others have as many on the way down and on the way up."""
    widths: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = (64, 128, 256, 512)
    """Channels of each level."""
    merges: Annotated[tuple[Merge, ...] | None, Field(strict=False)] = None
    """[rows, columns] of tokens merged between neighbouring levels; without it 2 where an axis is even, else 1."""
    directions: Annotated[tuple[Annotated[str, AfterValidator(_known)], ...], Field(strict=False, min_length=1)] = (
        "h",
        "h_flip",
        "v",
        "v_flip",
        "w7",
        "w7_flip",
    )
    """Scan orders: h by rows, v by columns, wK through windows of K x K, each with _flip backwards."""
    d_state: Count = 16
    """Numbers that a channel of a scan remembers."""
    ssm_ratio: float = Field(default=1.0, gt=0)
    """Channels of each scan, over the level's width."""
    dt_rank: Count | Literal["auto"] = "auto"
    """Rank of the projection to the step sizes; "auto" is a sixteenth of the width."""
    mlp_ratio: float = Field(default=4.0, ge=0)
    """Feed-forward size, as the width of a plain MLP with as many weights over the level's width; 0 for none."""
    axial_embedding: bool = True
    """Learn a vector per row and per column of patches; without it positions come from the convolutions alone."""
    mapping_width: int = Field(default=256, ge=2)
    """Width of the network that prepares noise level and condition for the blocks."""
    mapping_depth: int = Field(default=2, ge=0)
    """Its layers."""
    dropout_rate: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the output of every scan and feed-forward layer."""
    input_level: bool = True
    """Tell the blocks how strong the data in the noisy input is: RMS norms hide it, and windows come out alike."""
    scan_backend: Literal["auto", "mamba_ssm", "triton", "compiled", "torch"] = "auto"
    """What computes the selective scan; "auto" takes the fastest that is there, and says which."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"depths has {len(self.depths)} levels and widths has {len(self.widths)}: give one of each per level"
            )
        if self.merges is not None and len(self.merges) != len(self.widths) - 1:
            raise ValueError(
                f"merges has {len(self.merges)} pairs for {len(self.widths)} levels: "
                f"give {len(self.widths) - 1}, one between neighbouring levels"
            )
        if twice := [name for name in self.directions if self.directions.count(name) > 1]:
            raise ValueError(f"directions names '{twice[0]}' more than once")
        return self

    def scan_width(self, width: int) -> int:
        """Channels of each scan at a level of this width."""
        return max(1, round(self.ssm_ratio * width))

    def step_rank(self, width: int) -> int:
        """Rank of the projection to the step sizes at a level of this width."""
        return -(-width // 16) if self.dt_rank == "auto" else self.dt_rank
