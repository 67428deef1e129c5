"""The codec of pretrained VAEs: its convention, tiles, padding, channels, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_core.codecs.identity import Identity
from sd_core.codecs.options import VaeOptions
from sd_core.codecs.tiles import Tiles
from sd_core.codecs.vae import Vae
from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.task import GridShape
from sd_core.testing.codec import CodecContract
from sd_core.testing.vaes import write_tiny_vae

STACK = GridShape(20, 64, 64, groups=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vae(tmp_path_factory.mktemp("vae") / "pipeline" / "vae").parent


def vae(folder: Path, grid: GridShape = STACK, **options: Any) -> Vae:
    return Vae(VaeOptions(pretrained=str(folder), **options), grid)


class TestNone(CodecContract):
    tolerance = 0.0

    def codec(self, grid: GridShape) -> Identity:
        return Identity(NoOptions(), grid)


class TestVae(CodecContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def codec(self, grid: GridShape) -> Vae:
        return vae(self.folder, grid)


def test_bfloat16_is_inside_only(folder: Path) -> None:
    """It computes in bfloat16, close to float32, and hands out float32."""
    grid = GridShape(3, 16, 16)
    exact, rounded = vae(folder, grid), vae(folder, grid, precision="bfloat16")
    x = torch.randn(2, *grid)
    latent = rounded.encode(x)
    assert rounded.autoencoder.dtype == torch.bfloat16
    assert latent.dtype == rounded.decode(latent).dtype == torch.float32
    assert not torch.equal(latent, exact.encode(x))
    torch.testing.assert_close(latent, exact.encode(x), rtol=0.1, atol=0.1)
    assert rounded.fingerprint != exact.fingerprint


@pytest.mark.parametrize(
    ("grid", "latent"),
    [
        (STACK, (16, 40, 32)),
        (GridShape(60, 64, 64, groups=20), (16, 40, 32)),
        (GridShape(19, 64, 64, groups=19), (16, 40, 32)),
        (GridShape(3, 64, 64), (16, 8, 8)),
        (GridShape(1, 64, 64), (16, 8, 8)),
        (GridShape(1, 20, 2048), (16, 4, 256)),
        (GridShape(1, 19, 1001), (16, 4, 126)),
    ],
)
def test_the_latents_of_each_representation(folder: Path, grid: GridShape, latent: tuple[int, int, int]) -> None:
    assert tuple(vae(folder, grid).shape) == latent


def test_it_encodes_and_decodes_as_the_pipeline_does(folder: Path) -> None:
    """z = (mode - shift) * scaling and back, with channels as colours and values scaled into [-1, 1]."""
    network = AutoencoderKL.from_pretrained(folder / "vae")
    codec = vae(folder, GridShape(3, 64, 64))
    x = torch.randn(2, 3, 64, 64)
    latent = (network.encode(x / 4).latent_dist.mode() - 0.0609) * 1.5305
    torch.testing.assert_close(codec.encode(x), latent)
    decoded = network.decode(latent / 1.5305 + 0.0609).sample * 4
    torch.testing.assert_close(codec.decode(latent), decoded, rtol=1e-4, atol=1e-4)


def test_an_electrode_is_encoded_alone_and_found_in_its_tile(folder: Path) -> None:
    """Electrode 6 of 20 stands in the second row, third column of 5 x 4 tiles."""
    x = torch.randn(2, 60, 64, 64)
    stack, single = vae(folder, GridShape(60, 64, 64, groups=20)), vae(folder, GridShape(3, 64, 64))
    tile = stack.encode(x)[:, :, 8:16, 16:24]
    torch.testing.assert_close(tile, single.encode(x[:, 18:21]), rtol=1e-4, atol=1e-5)


def test_one_channel_is_broadcast_and_averaged_back(folder: Path) -> None:
    grey, colour = vae(folder, GridShape(1, 64, 64)), vae(folder, GridShape(3, 64, 64))
    x = torch.randn(2, 1, 64, 64)
    latent = colour.encode(x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey.encode(x), latent)
    torch.testing.assert_close(grey.decode(latent), colour.decode(latent).mean(1, keepdim=True))


class Shuffled(nn.Module):
    """An autoencoder that loses nothing: pixels to channels and back, in float64's own layout."""

    dtype = torch.float32

    def encode(self, x: Tensor) -> Any:
        latent = nn.functional.pixel_unshuffle(x, 8)
        distribution = type("Posterior", (), {"mode": lambda _self: latent})()
        return type("Output", (), {"latent_dist": distribution})()

    def decode(self, z: Tensor) -> Any:
        return type("Output", (), {"sample": nn.functional.pixel_shuffle(z, 8)})()


@pytest.mark.parametrize("grid", CodecContract.grids, ids=str)
def test_everything_but_the_vae_is_exactly_undone(folder: Path, grid: GridShape) -> None:
    """Scale, padding, channels, tiles: what is lost is the VAE's loss."""
    codec = vae(folder, grid, batch_size=7)
    codec.autoencoder = Shuffled()
    codec.tiles = Tiles(grid.groups, GridShape(192, codec.tiles.tile.height, codec.tiles.tile.width))
    codec.shape = codec.tiles.shape
    codec.shift, codec.scaling = 0.5, 2.0  # powers of two, so that float32 can be exact
    x = torch.randn(3, *grid).bfloat16().float()
    restored = codec.decode(codec.encode(x))
    torch.testing.assert_close(restored, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 2, 1), (7, 3, 3), (19, 5, 4), (20, 5, 4)])
def test_tiles_are_laid_on_a_near_square_grid_and_taken_back(count: int, rows: int, columns: int) -> None:
    tiles = Tiles(count, GridShape(2, 3, 4))
    assert tuple(tiles.shape) == (2, 3 * rows, 4 * columns)
    x = torch.randn(3 * count, 2, 3, 4)
    grid = tiles.lay(x)
    assert torch.equal(tiles.take(grid), x)
    assert torch.equal(grid[0, :, :3, :4], x[0])
    assert float(grid.abs().sum()) == pytest.approx(float(x.abs().sum()), rel=1e-5)  # blanks are zero


def test_four_standard_deviations_reach_one_and_pictures_stay(folder: Path) -> None:
    codec = vae(folder)
    assert codec.input_scale == 0.25
    codec.expect(1.0)
    assert codec.input_scale == 1.0
    chosen = vae(folder, input_scale=0.125)
    chosen.expect(1.0)
    assert chosen.input_scale == 0.125
    assert chosen.fingerprint != codec.fingerprint


def test_the_fingerprint_knows_weights_and_not_places(folder: Path, tmp_path: Path) -> None:
    same, other = write_tiny_vae(tmp_path / "same"), write_tiny_vae(tmp_path / "other", seed=1)
    scaled = write_tiny_vae(tmp_path / "scaled", scaling_factor=0.5)
    prints = [vae(place).fingerprint for place in (folder, same, other, scaled)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_a_dry_run_needs_no_weights(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text((folder / "vae" / "config.json").read_text())
    with FakeTensorMode(allow_non_fake_inputs=True):
        codec = vae(tmp_path)
        assert codec.decode(codec.encode(torch.zeros(2, *STACK))).shape == (2, *STACK)


def test_a_dry_run_knows_the_published_vae_without_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", _offline)
    with FakeTensorMode(allow_non_fake_inputs=True):
        codec = vae(Path("stabilityai/stable-diffusion-3.5-medium"))
    assert tuple(codec.shape) == (16, 40, 32)
    assert sum(weight.numel() for weight in codec.parameters()) == 83_819_683


def _offline(*_: object, **__: object) -> str:
    raise FileNotFoundError("no network")


def refused(folder: Path | str, grid: GridShape = STACK) -> str:
    with pytest.raises(SdError) as caught:
        Vae(VaeOptions(pretrained=str(folder)), grid)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_vae_that_cannot_be_had_names_the_layout_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", _offline)
    said = refused("stabilityai/stable-diffusion-3.5-medium")
    assert "codec.extras.pretrained = 'stabilityai/stable-diffusion-3.5-medium'" in said
    assert "(no network)" in said
    assert "FOLDER/vae/config.json and FOLDER/vae/diffusion_pytorch_model.safetensors" in said
    assert "taken from model.pretrained" in said
    assert "its folder has no vae/config.json" in refused(tmp_path)
    assert "(there is no such folder)" in refused(tmp_path / "mistyped")


def test_a_folder_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "vae" / "config.json").read_text())
    assert "has no vae/diffusion_pytorch_model.safetensors" in refused(tmp_path)


def test_damaged_weights_are_one_sentence(tmp_path: Path) -> None:
    weights = write_tiny_vae(tmp_path) / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be loaded" in refused(tmp_path)


def test_channels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    four = write_tiny_vae(tmp_path / "four", in_channels=4, out_channels=4)
    three = write_tiny_vae(tmp_path / "three")
    wider = write_tiny_vae(tmp_path / "wider", out_channels=6)
    assert "takes 4 channels and gives back 4, the representation has 3 per picture" in refused(
        four, GridShape(3, 64, 64)
    )
    assert "the representation has 2 per picture" in refused(three, GridShape(2, 64, 64))
    assert "takes 3 channels and gives back 6" in refused(wider, GridShape(3, 64, 64))


def test_another_model_or_convention_is_refused(tmp_path: Path) -> None:
    AutoencoderTiny(latent_channels=4).save_pretrained(tmp_path / "tiny")
    assert "holds AutoencoderTiny; codec 'vae' takes an AutoencoderKL" in refused(tmp_path / "tiny")
    config = write_tiny_vae(tmp_path / "mean") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "latents_mean": [0.0] * 16}))
    assert "normalises its latents per channel" in refused(tmp_path / "mean")
