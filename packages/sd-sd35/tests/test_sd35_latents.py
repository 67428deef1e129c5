"""The codec `vae` against `StableDiffusion3Pipeline`: the same latents, the same pictures; and one run in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3_img2img import retrieve_latents

from sd_core.codecs.options import VaeOptions
from sd_core.codecs.vae import Vae
from sd_core.config.read import read_run
from sd_core.plugin import GridShape, SdError, SignalInfo
from sd_core.registry import discover
from sd_core.run.sample import generate, load_run
from sd_core.run.train import train
from sd_core.testing.windows import write_miniature
from sd_sd35.testing import make_tiny_pretrained

COLOUR = GridShape(3, 64, 64)


@pytest.fixture(scope="module")
def pipeline(tiny: Path) -> Any:
    found = StableDiffusion3Pipeline.from_pretrained(tiny)
    found.set_progress_bar_config(disable=True)
    return found


def test_the_same_latents_are_the_same_picture(tiny: Path, pipeline: Any) -> None:
    """What the pipeline draws as latents, decoded here, is what it draws as a picture."""
    asked = {"prompt": "resting EEG", "height": 64, "width": 64, "num_inference_steps": 2, "guidance_scale": 1.0}
    latent, picture = (
        pipeline(**asked, output_type=kind, generator=torch.Generator().manual_seed(3)).images
        for kind in ("latent", "pt")
    )
    codec = Vae(VaeOptions(pretrained=str(tiny), input_scale=1.0), COLOUR)
    assert latent.shape[1:] == tuple(codec.shape)
    decoded = (codec.decode(latent) / 2 + 0.5).clamp(0, 1)  # as its image processor shows it
    torch.testing.assert_close(decoded, picture, rtol=1e-5, atol=1e-5)


def test_the_same_picture_is_the_same_latents(tiny: Path, pipeline: Any) -> None:
    """As the image-to-image pipeline encodes, at the mode of the posterior."""
    picture = torch.rand(2, 3, 64, 64)
    vae = pipeline.vae
    encoded = retrieve_latents(vae.encode(pipeline.image_processor.preprocess(picture)), sample_mode="argmax")
    expected = (encoded - vae.config.shift_factor) * vae.config.scaling_factor
    codec = Vae(VaeOptions(pretrained=str(tiny), input_scale=1.0), COLOUR)
    torch.testing.assert_close(codec.encode(picture * 2 - 1), expected, rtol=1e-5, atol=1e-5)


def test_a_vae_of_other_channels_is_refused(tmp_path: Path) -> None:
    folder = make_tiny_pretrained(tmp_path / "four", t5=False, vae_channels=4)
    with pytest.raises(SdError, match="takes 4 channels and gives back 4"):
        Vae(VaeOptions(pretrained=str(folder)), COLOUR)


CONFIG = """
[data]
representation = "db-only"
[dataset]
name = "{data}"
batch_size = 2
[model]
name = "sd35"
pretrained = "{tiny}"
latent_space = true
[training]
max_train_steps = 2
[logging]
tensorboard = false
[inference]
denoising_steps = 1
"""


def test_latent_space_is_the_models_own_vae(tiny: Path, tmp_path: Path) -> None:
    """One key: the VAE of the same folder, a stack of electrodes on 5 x 4 tiles, windows at the end."""
    names = tuple(f"ch{number:02d}" for number in range(1, 21))
    signal = SignalInfo(channel_names=names, n_samples=2048, sfreq=125.0, reference="average")
    data = write_miniature(tmp_path / "data", signal, train=4, held_out=2)
    file = tmp_path / "run.toml"
    file.write_text(CONFIG.format(data=data.as_posix(), tiny=tiny.as_posix()))
    registry = discover()
    train(read_run(file, (), registry), tmp_path / "run", registry=registry)
    loaded = load_run(tmp_path / "run", registry=registry)
    assert isinstance(loaded.assembly.codec, Vae)
    assert tuple(loaded.assembly.task.shape) == (16, 40, 32)
    drawn = generate(loaded, 1).signal
    assert drawn.shape == (1, 20, 2048)
    assert np.isfinite(drawn).all()
