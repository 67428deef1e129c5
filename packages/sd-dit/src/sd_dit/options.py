"""Options of the diffusion transformer. No torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sd_core.plugin import Options

Side = Annotated[int, Field(ge=1)] | Literal["all"]


class DiTOptions(Options):
    """`[model.extras]` of `dit`; the width is heads * head_dim."""

    patch_size: Annotated[tuple[Side, Side] | None, Field(strict=False)] = None
    """[height, width] of a patch, "all" spans an axis; without it [4, 4], or ["all", 16] for a series."""
    layers: int = Field(default=12, ge=1)
    """Number of blocks."""
    heads: int = Field(default=16, ge=1)
    """Attention heads."""
    head_dim: int = Field(default=72, ge=4, multiple_of=4)
    """Channels per head; rotary positions on two axes need a multiple of 4."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Feed-forward size, as the width of a plain MLP with as many weights over the network's width."""
    dropout_rate: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the output of every attention and feed-forward layer."""
    bottleneck: int = Field(default=128, ge=0)
    """Bottleneck of the patch embedding where a patch has more values than a quarter of the width; 0 for none."""
    input_level: bool = True
    """Tell the blocks how strong the data in the noisy input is: RMS norms hide it, and windows come out alike."""
    row_embedding: bool = True
    """Learn a vector per row of patches: rows are electrodes or frequencies, and neither look the same one step on."""
    direct_path: bool = False
    """Add a linear map from patch to patch with gains told by the condition, past the blocks: where a patch has more
    values than the width, what the blocks cannot carry still comes through. Costs 2 values^2 per patch."""
    own_filter: bool = False
    """Show the blocks the input as filtered by its own covariance, and add that to the output with gains told by the
    condition: windows keep how their electrodes and frequencies go together. Best on whitened data."""
    own_gain: float = 0.0
    """Gain of `own_filter` before any training. With prediction_type "v_prediction" -1 makes a silent network that
    filter: how loud a window becomes is decided near the noise, where a network learns it last."""
    own_waxing: bool = False
    """Let the power that `own_filter` goes by change within a window, by octaves: EEG waxes and wanes, and a filter
    that is the same at every moment draws windows without kurtosis. Series only."""
    local_gains: bool = False
    """Let the gains of `direct_path` and `own_filter` differ from patch to patch, and tell the blocks how strong the
    data in each patch is: EEG waxes and wanes within a window, and one filter for all of it draws Gaussian windows."""

    @model_validator(mode="after")
    def _filter_is_there(self) -> Self:
        for name, asked in (("own_gain", self.own_gain != 0), ("own_waxing", self.own_waxing)):
            if asked and not self.own_filter:
                raise ValueError(f"{name} says how own_filter works: set own_filter = true, or leave it out")
        return self
