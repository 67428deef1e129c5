"""The codec "none": networks see the representation itself."""

from __future__ import annotations

from torch import Tensor

from sd_core.options import NoOptions
from sd_core.task import GridShape


class Identity:
    """A latent space that is the data's own."""

    def __init__(self, options: NoOptions, shape: GridShape) -> None:  # noqa: ARG002 - every codec is built alike
        self.shape = shape

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) unchanged."""
        return x

    def decode(self, latent: Tensor) -> Tensor:
        """(B, C, H, W) unchanged."""
        return latent
