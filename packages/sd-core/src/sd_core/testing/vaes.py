"""A VAE of a few thousand random weights in diffusers layout, for testing what works in a latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def write_tiny_vae(folder: Path, *, seed: int = 0, factor: int = 8, **config: Any) -> Path:
    """Write a random AutoencoderKL; returns the folder, which `codec.extras.pretrained` can name.

    Args:
        folder: Gets the files themselves, without a subfolder.
        seed: Of the weights.
        factor: Pixels per latent value on a side, a power of two.
        config: Of `AutoencoderKL`, instead of 3 channels, 16 latent channels, and a scaling and a shift factor.
    """
    from diffusers import AutoencoderKL

    blocks = factor.bit_length()
    facts: dict[str, Any] = {
        "block_out_channels": [8] * blocks,
        "down_block_types": ["DownEncoderBlock2D"] * blocks,
        "up_block_types": ["UpDecoderBlock2D"] * blocks,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": 16,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        **config,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoencoderKL(**facts).save_pretrained(folder)
    return folder
