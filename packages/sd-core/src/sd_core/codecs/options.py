"""Options of the codecs. No torch: reading a config stays cheap."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sd_core.options import Options


class VaeOptions(Options):
    """`[codec.extras]` of `vae`."""

    pretrained: str | None = None
    """Required. A hub id or a folder in diffusers layout: of a VAE, or of a pipeline whose folder `vae` is taken. With
    `[model] latent_space = true` it is the model's `pretrained` unless written here."""
    revision: str | None = None
    """Revision on the hub."""
    input_scale: Annotated[float, Field(gt=0)] | None = None
    """What values are multiplied by before encoding, undone in decoding. A VAE of pictures expects about [-1, 1]:
    without this key 4 standard deviations, where levels in dB are clipped, reach 1, and old pictures stay as they
    are."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the VAE computes in. Published ones ask for float32 (`force_upcast`); latents are float32 either way."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Pictures that pass through the VAE at once; a stack of 20 electrodes is 20 of them."""
    cache: bool = False
    """Encode the train split once and keep its latents on disk, found again by data, representation and weights.
    Needs 4 bytes a value: 82 kB for a window of 20 electrodes in 16 channels."""
