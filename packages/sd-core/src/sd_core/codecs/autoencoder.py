"""Find a VAE in diffusers layout, in a folder or on the hub, and load it frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensor

from sd_core.errors import SdError
from sd_core.nn.hub import could_be_on_hub, why_absent

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SUBFOLDER = "vae"
"""Of a pipeline's folder."""

_SD3_BLOCKS = 4
SD3_CONFIG: Mapping[str, Any] = {
    "_class_name": "AutoencoderKL",
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * _SD3_BLOCKS,
    "up_block_types": ["UpDecoderBlock2D"] * _SD3_BLOCKS,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 16,
    "norm_num_groups": 32,
    "sample_size": 1024,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
"""Of the VAE that all Stable Diffusion 3 and 3.5 models share: sizes for a dry run without the files."""
SD3_MODELS = ("stabilityai/stable-diffusion-3-", "stabilityai/stable-diffusion-3.5-")


def counts_only() -> bool:
    """Whether tensors are without numbers now, as in a dry run: then a VAE needs sizes and no weights."""
    return isinstance(torch.empty(0), FakeTensor)


def load_autoencoder(pretrained: str, revision: str | None) -> AutoencoderKL:
    """The VAE, frozen, in float32; with random weights where only sizes are counted.

    Args:
        pretrained: A folder or a hub id, of a VAE or of a pipeline.
        revision: On the hub.

    Raises:
        SdError: it cannot be had, or it is not an AutoencoderKL.
    """
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):  # a network's first weights do not depend on how a VAE is loaded
        if counts_only():
            built: AutoencoderKL = AutoencoderKL.from_config(_config_for_sizes(pretrained, revision))
        else:
            folder = find_folder(pretrained, revision, (CONFIG, WEIGHTS))
            read_config(folder, pretrained)
            try:
                built = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
            except (OSError, ValueError, RuntimeError) as error:  # what damaged or foreign files raise
                raise SdError(f"{_where(pretrained)} cannot be loaded: {_first_line(error)}") from error
    return cast("AutoencoderKL", built.requires_grad_(False).eval())


def find_folder(pretrained: str, revision: str | None, needed: tuple[str, ...]) -> Path:
    """The folder on this disk that holds the VAE's files, fetched from the hub if it is not a folder.

    Args:
        pretrained: A folder or a hub id, of a VAE or of a pipeline.
        revision: On the hub.
        needed: Names of the files.

    Raises:
        SdError: it cannot be had; the sentence names the layout that works without a hub.
    """
    given = Path(pretrained).expanduser()
    root = given if given.is_dir() else _fetched(pretrained, revision, needed)
    places = [root / SUBFOLDER, root]
    for place in places:
        if all((place / name).is_file() for name in needed):
            return place
    lacking = next((name for place in places if place.is_dir() for name in needed if not (place / name).is_file()), "")
    raise SdError(_absence(pretrained, f"its folder has no {SUBFOLDER}/{lacking or needed[0]}"))


def _fetched(pretrained: str, revision: str | None, needed: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    wanted = [f"{folder}{name}" for folder in (f"{SUBFOLDER}/", "") for name in needed]
    try:
        return Path(snapshot_download(pretrained, revision=revision, allow_patterns=wanted))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise SdError(_absence(pretrained, why_absent(pretrained, error))) from error


def _config_for_sizes(pretrained: str, revision: str | None) -> Mapping[str, Any]:
    try:
        return read_config(find_folder(pretrained, revision, (CONFIG,)), pretrained)
    except SdError:
        if Path(pretrained).is_dir() or not pretrained.startswith(SD3_MODELS):
            raise
        return SD3_CONFIG


def read_config(folder: Path, pretrained: str) -> Mapping[str, Any]:
    """The VAE's own description.

    Raises:
        SdError: it is of another class of model.
    """
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    kind = config.get("_class_name", "nothing that names its class")
    if kind != "AutoencoderKL":
        raise SdError(f"{_where(pretrained)} holds {kind}; codec 'vae' takes an AutoencoderKL")
    return config


def _absence(pretrained: str, why: str) -> str:
    model = pretrained if could_be_on_hub(pretrained) and not Path(pretrained).is_dir() else "MODEL"
    return (
        f"{_where(pretrained)}: no VAE can be had from there ({why}); name a folder FOLDER that holds "
        f"FOLDER/{SUBFOLDER}/{CONFIG} and FOLDER/{SUBFOLDER}/{WEIGHTS}, as "
        f"`hf download {model} --include '{SUBFOLDER}/*' --local-dir FOLDER` leaves "
        "them where there is a network and, for a gated model, an accepted licence"
    )


def _where(pretrained: str) -> str:
    return f"codec.extras.pretrained = {pretrained!r} (with latent_space = true taken from model.pretrained)"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
