"""Options of the hourglass transformer. No torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sd_core.plugin import Options

Side = Annotated[int, Field(ge=1)] | Literal["all"]
Count = Annotated[int, Field(ge=1)]
Counts = Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]
Merge = Annotated[tuple[Count, Count], Field(strict=False)]
Attention = Literal["neighborhood", "shifted-window", "global"]


class HourglassOptions(Options):
    """`[model.extras]` of `hourglass`; lists have one entry per level, the finest first."""

    patch_size: Annotated[tuple[Side, Side] | None, Field(strict=False)] = None
    """[height, width] of a patch, "all" spans an axis; without it [2, 2], or [1, 8] for a series."""
    depths: Counts = (2, 2, 3)
    """Blocks of each level; the last is the middle, the others have as many on the way down and on the way up."""
    widths: Counts = (64, 128, 256)
    """Channels of each level, multiples of head_dim."""
    head_dim: int = Field(default=64, ge=8, multiple_of=8)
    """Channels per head; rotary positions on two axes, on half of them, need a multiple of 8."""
    attention: Annotated[tuple[Attention, ...] | None, Field(strict=False)] = None
    """What the tokens of each level see; without it "neighborhood", and "global" on the last level."""
    kernel: Count | None = None
    """Side of a neighborhood in tokens, odd, 7 without it; an axis with fewer tokens is spanned."""
    window: Count | None = None
    """Side of a shifted window in tokens, 8 without it; an axis with fewer tokens is spanned."""
    merges: Annotated[tuple[Merge, ...] | None, Field(strict=False)] = None
    """[rows, columns] of tokens merged between neighbouring levels; without it 2 where an axis is even, else 1."""
    mlp_widths: Annotated[tuple[Count, ...] | None, Field(strict=False)] = None
    """Hidden width of the feed-forward layers of each level; without it three times the level's width."""
    mapping_width: Count = 256
    """Width of the network that prepares noise level and condition for the blocks."""
    mapping_depth: int = Field(default=2, ge=0)
    """Its layers."""
    mapping_mlp_width: Count | None = None
    """Hidden width of its layers; without it three times its width."""
    noise_features: int = Field(default=256, ge=2, multiple_of=2)
    """Fourier features of the noise level."""
    dropout_rate: float = Field(default=0.0, ge=0, lt=1)
    """Dropout inside every attention and feed-forward layer, those of the mapping network included."""
    input_level: bool = True
    """Tell the blocks how strong the data in the noisy input is: RMS norms hide it, and windows come out alike."""
    row_embedding: bool = True
    """Learn a vector per row of patches: rows are electrodes or frequencies, and neither look the same one step on."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        levels = len(self.depths)
        lists = {"widths": self.widths, "attention": self.attention, "mlp_widths": self.mlp_widths}
        for name, values in lists.items():
            if values is not None and len(values) != levels:
                raise ValueError(f"depths has {levels} levels and {name} has {len(values)}: give one of each per level")
        if self.merges is not None and len(self.merges) != levels - 1:
            raise ValueError(
                f"merges has {len(self.merges)} pairs for {levels} levels: "
                f"give {levels - 1}, one between neighbouring levels"
            )
        if wrong := [width for width in self.widths if width % self.head_dim]:
            raise ValueError(f"{wrong[0]} is not a multiple of head_dim = {self.head_dim}, as widths must be")
        if self.kernel is not None and self.kernel % 2 == 0:
            raise ValueError(
                f"{self.kernel} is even, and such a kernel has no middle for a token to stand in; "
                f"take {self.kernel - 1} or {self.kernel + 1}"
            )
        self._refuse_idle_sides()
        return self

    def _refuse_idle_sides(self) -> None:
        used = {self.attention_of(level) for level in range(len(self.depths))}
        if self.kernel is not None and "neighborhood" not in used:
            raise ValueError("kernel does nothing where no level has attention 'neighborhood'; leave it out")
        if self.window is not None and "shifted-window" not in used:
            raise ValueError("window does nothing where no level has attention 'shifted-window'; leave it out")

    def attention_of(self, level: int) -> Attention:
        """What the tokens of a level see."""
        if self.attention is not None:
            return self.attention[level]
        return "global" if level == len(self.depths) - 1 else "neighborhood"

    def mlp_width(self, level: int) -> int:
        """Hidden width of the feed-forward layers of a level."""
        return 3 * self.widths[level] if self.mlp_widths is None else self.mlp_widths[level]
