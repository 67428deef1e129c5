"""The codec "vae": the latent space of a pretrained VAE of pictures (Rombach 2022; SD3: Esser 2024)."""

from __future__ import annotations

import hashlib
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sd_core.codecs.autoencoder import counts_only, load_autoencoder
from sd_core.codecs.options import VaeOptions
from sd_core.codecs.tiles import Tiles
from sd_core.errors import SdError
from sd_core.nn.artefacts import weights_hash
from sd_core.task import GridShape

PATCH = 2
"""Latent values on a side of SD3's patches: grids are padded so that a latent is whole patches."""
USUAL_REACH = 4.0
"""Standard deviations that a representation is taken to reach where it does not say it."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Vae(nn.Module):
    """A frozen AutoencoderKL, with its scaling and shift factor.

    encode: z = (mode of the posterior - shift) * scaling; decode: VAE(z / scaling + shift), both as
    `StableDiffusion3Pipeline` has it. The mode, not a sample: the posterior of a trained VAE is narrow, and
    latents that do not change from epoch to epoch can be kept on disk.

    A stack of electrodes (`GridShape.groups`) is encoded electrode by electrode and the latents are tiled:
    20 of (16, 8, 8) are (16, 40, 32). One-channel data are broadcast to the VAE's channels and averaged back.
    Grids are padded with zeros to multiples of 2 x the VAE's factor (16 for SD3) and cropped after decoding.

    Args:
        options: See `VaeOptions`.
        shape: What the representation makes.

    Raises:
        SdError: the VAE cannot be had, or its channels do not fit.
    """

    def __init__(self, options: VaeOptions, shape: GridShape) -> None:
        super().__init__()
        self.options = options
        self.grid = shape
        pretrained = _named(options.pretrained)
        self.autoencoder = load_autoencoder(pretrained, options.revision)
        config = self.autoencoder.config
        self.planes = shape.channels // shape.groups
        _refuse_misfit(config.in_channels, config.out_channels, self.planes, pretrained)
        _refuse_other_normalisation(config, pretrained)
        self.scaling: float = config.scaling_factor
        self.shift: float = config.shift_factor or 0.0
        self.pixels: int = config.in_channels
        factor = 2 ** (len(config.block_out_channels) - 1)
        height, width = (_rounded_up(side, PATCH * factor) for side in (shape.height, shape.width))
        self.padding = (0, width - shape.width, 0, height - shape.height)
        self.tiles = Tiles(shape.groups, GridShape(config.latent_channels, height // factor, width // factor))
        self.shape = self.tiles.shape
        self.keeps_latents = options.cache
        self.input_scale = 0.0
        self.expect(USUAL_REACH)
        self._weights = ""
        if not counts_only():
            self._weights = weights_hash(self.autoencoder)
            self.to(_DTYPES[options.precision])

    def expect(self, reach: float) -> None:
        """Scale so that values up to `reach`, before which most lie, fill [-1, 1]; an option overrides it."""
        self.input_scale = self.options.input_scale or 1 / reach

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(B, *grid) -> (B, *shape), float32."""
        pictures = pad(x.float() * self.input_scale, self.padding).unflatten(1, (self.grid.groups, self.planes))
        pictures = pictures.flatten(0, 1).expand(-1, self.pixels, -1, -1)
        latents = [self._encode(some) for some in pictures.split(self.options.batch_size)]
        return self.tiles.lay((torch.cat(latents) - self.shift) * self.scaling)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """(B, *shape) -> (B, *grid), float32."""
        tiles = self.tiles.take(latent.float()) / self.scaling + self.shift
        pictures = torch.cat([self._decode(some) for some in tiles.split(self.options.batch_size)])
        if self.planes < self.pixels:
            pictures = pictures.mean(1, keepdim=True)
        cropped = pictures[..., : self.grid.height, : self.grid.width]
        return cropped.reshape(-1, *self.grid) / self.input_scale

    def _encode(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, enabled=False):
            posterior = self.autoencoder.encode(pictures.to(self.autoencoder.dtype)).latent_dist
        return cast(Tensor, posterior.mode()).float()

    def _decode(self, latents: Tensor) -> Tensor:
        with torch.autocast(latents.device.type, enabled=False):
            decoded = self.autoencoder.decode(latents.to(self.autoencoder.dtype)).sample
        return cast(Tensor, decoded).float()

    def train(self, mode: bool = True) -> Vae:  # noqa: ARG002 - whoever asks, it stays as it was trained
        """Stays in evaluation mode."""
        return super().train(False)

    @property
    def fingerprint(self) -> str:
        """Which latent space this is, wherever its files stand: weights, factors, scale, precision, tiles."""
        content = (self._weights, self.scaling, self.shift, self.input_scale, self.options.precision, self.tiles)
        return hashlib.sha256(repr(content).encode()).hexdigest()


def _named(pretrained: str | None) -> str:
    if not pretrained:
        raise SdError(
            "codec 'vae' needs to know which VAE: set codec.extras.pretrained to a hub id or a folder in diffusers "
            "layout, or model.pretrained with model.latent_space = true"
        )
    return pretrained


def _rounded_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _refuse_misfit(taken: int, given_back: int, planes: int, pretrained: str) -> None:
    if taken != given_back or planes not in (1, taken):
        raise SdError(
            f"codec.extras.pretrained = {pretrained!r}: this VAE takes {taken} channels and gives back {given_back}, "
            f"the representation has {planes} per picture; it must be one channel, which is broadcast, or as many as "
            "the VAE takes and gives back: choose another VAE or data.representation"
        )


def _refuse_other_normalisation(config: object, pretrained: str) -> None:
    if getattr(config, "latents_mean", None) is not None or getattr(config, "latents_std", None) is not None:
        raise SdError(
            f"codec.extras.pretrained = {pretrained!r}: this VAE normalises its latents per channel (latents_mean, "
            "latents_std); codec 'vae' takes those with one scaling_factor and shift_factor"
        )
