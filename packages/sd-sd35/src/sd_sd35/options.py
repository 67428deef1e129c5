"""Options of Stable Diffusion 3.5: the network and its text conditioner. No torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sd_core.plugin import Options, TextOptions


class SD35Options(Options):
    """`[model.extras]` of `sd35`: sizes of a transformer from scratch, those of SD3.5 Medium unless told otherwise."""

    pretrained: str | None = None
    """Hub id, such as "stabilityai/stable-diffusion-3.5-medium", or a folder in diffusers' layout: its transformer is
    what training starts from. Without it, one of the sizes here starts from scratch. Written in `[model]`."""
    revision: str | None = None
    """Revision on the hub; written in `[model]`."""
    layers: int = Field(default=24, ge=1)
    """Number of blocks."""
    heads: int = Field(default=24, ge=1)
    """Attention heads; the width is heads * head_dim."""
    head_dim: int = Field(default=64, ge=4, multiple_of=4)
    """Channels per head."""
    patch_size: int = Field(default=2, ge=1)
    """Side of a patch; patches are square in this network."""
    dual_layers: int = Field(default=13, ge=0)
    """The first so many blocks have a second attention, among the patches alone."""
    qk_norm: bool = True
    """RMS norms on queries and keys."""
    positions: int = Field(default=384, ge=1)
    """Patches per axis that the table of positions covers; a grid sits in its middle."""
    pooled_dim: int = Field(default=2048, ge=1)
    """Width of the pooled text, which joins the time; a vector of another width is projected to it."""
    joint_dim: int = Field(default=4096, ge=1)
    """Width of the text tokens, which attend jointly with the patches; tokens of another width are projected."""

    @model_validator(mode="after")
    def _one_source_of_sizes(self) -> Self:
        fields = type(self).model_fields
        told = [key for key in SIZES if getattr(self, key) != fields[key].default]
        if self.pretrained is not None and told:
            raise ValueError(f"the sizes follow from model.pretrained: leave out {', '.join(told)}")
        return self


SIZES = ("layers", "heads", "head_dim", "patch_size", "dual_layers", "qk_norm", "positions", "pooled_dim", "joint_dim")
"""Options that a pretrained transformer brings itself."""


class SD3TextOptions(TextOptions):
    """`[conditioning]` of `sd3-text`; captions longer than an encoder takes are cut, as the pipeline cuts them."""

    pretrained: str | None = None
    """Where the text encoders are when `encoder` does not say; written in `[model]`."""
    revision: str | None = None
    """Revision of `pretrained` on the hub; written in `[model]`."""
    encoder: str | None = None
    """Hub id or folder in diffusers' layout with the text encoders; without it, that of `[model] pretrained`."""
    encoder_revision: str | None = None
    """Revision of `encoder` on the hub."""
    t5: bool = False
    """Use the third encoder, T5-XXL (4.7 billion weights), too; without it, zeros stand for its tokens, as in the
    pipeline without it."""
    t5_length: int = Field(default=256, ge=1, le=512)
    """Tokens of T5's text, or of the zeros in its place."""

    @model_validator(mode="after")
    def _a_revision_of_something(self) -> Self:
        if self.encoder_revision is not None and self.encoder is None:
            raise ValueError("encoder_revision belongs to encoder, which is not given")
        return self
