"""Runs in a latent space: they train, resume to the bit, sample, and know which latent space they are in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sd_core.codecs.vae import Vae
from sd_core.config.read import Run, read_run
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import assemble
from sd_core.run.dryrun import describe_run
from sd_core.run.latents import keep_latents
from sd_core.run.opening import open_data
from sd_core.run.sample import generate, load_run
from sd_core.run.train import train
from sd_core.testing.toys import TOY_SIGNAL, toy_config, toy_registry, write_toy_windows
from sd_core.testing.vaes import write_tiny_vae


@pytest.fixture(scope="module")
def registry() -> Registry:
    return toy_registry()


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vae(tmp_path_factory.mktemp("vae"), factor=2, latent_channels=4)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path / "cache"))


def read(windows: Path, registry: Registry, vae: Path, overrides: tuple[str, ...] = (), **extras: Any) -> Run:
    file = windows.parent / "run.toml"
    codec: Mapping[str, object] = {"name": "vae", "extras": {"pretrained": str(vae), **extras}}
    training = {"max_train_steps": 4, "checkpoint_interval": 2, "eval_num_steps": 4, "eval_num_examples": 4}
    file.write_text(toy_config(windows, codec=codec, training=training))
    return read_run(file, overrides, registry)


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "checkpoint-4" / "model.safetensors")


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples each call of `Vae.encode` encodes, from now on."""
    calls: list[int] = []
    encode = Vae.encode

    def counted(self: Vae, x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return encode(self, x)

    monkeypatch.setattr(Vae, "encode", counted)
    return calls


@pytest.mark.parametrize("cache_latents", [False, True])
def test_two_steps_and_two_more_are_four_to_the_bit(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path, cache_latents: bool
) -> None:
    run = read(windows, registry, vae, cache=cache_latents)
    train(run, tmp_path / "whole", registry=registry)
    short = read(windows, registry, vae, ("training.max_train_steps=2",), cache=cache_latents)
    train(short, tmp_path / "parts", registry=registry)
    train(run, tmp_path / "parts", resume_from="latest", registry=registry)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (tmp_path / "parts" / "metrics.jsonl").read_bytes()


def test_a_checkpoint_holds_no_weights_of_the_vae_and_samples_windows(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path
) -> None:
    train(read(windows, registry, vae), tmp_path / "run", registry=registry)
    assert not [name for name in weights(tmp_path / "run") if "autoencoder" in name or "codec" in name]
    assert list((tmp_path / "run" / "samples").glob("*.png"))  # previews went through decode
    loaded = load_run(tmp_path / "run", registry=registry)
    assert tuple(loaded.assembly.task.shape) == (4, 2, 16)
    drawn = generate(loaded, 3)
    assert drawn.signal.shape == (3, TOY_SIGNAL.n_channels, TOY_SIGNAL.n_samples)
    alone, together = generate(loaded, 1).signal[0], drawn.signal[0]
    assert abs(alone - together).max() < 1e-3 * abs(together).max()


def test_another_vae_is_refused_and_the_same_one_elsewhere_is_not(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path
) -> None:
    run = read(windows, registry, vae)
    train(run, tmp_path / "run", registry=registry)
    moved = write_tiny_vae(tmp_path / "moved", factor=2, latent_channels=4)
    other = write_tiny_vae(tmp_path / "other", factor=2, latent_channels=4, seed=1)
    load_run(tmp_path / "run", (f"codec.extras.pretrained={moved}",), registry=registry)
    with pytest.raises(SdError, match=r"was trained in another latent space .* set codec.extras.pretrained"):
        load_run(tmp_path / "run", (f"codec.extras.pretrained={other}",), registry=registry)
    longer = ("training.max_train_steps=5",)
    with pytest.raises(SdError, match="was trained in another latent space"):
        train(read(windows, registry, other, longer), tmp_path / "run", resume_from="latest", registry=registry)
    train(read(windows, registry, moved, longer), tmp_path / "run", resume_from="latest", registry=registry)


def test_kept_latents_are_encoded_once_and_equal_those_on_the_fly(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(read(windows, registry, vae), tmp_path / "fly", registry=registry)
    calls = encodings(monkeypatch)
    run = read(windows, registry, vae, ("training.eval_strategy=no",), cache=True)
    train(run, tmp_path / "kept", registry=registry)
    assert len(calls) == 1
    train(run, tmp_path / "again", registry=registry)
    assert len(calls) == 1
    fly, kept, again = (weights(tmp_path / name) for name in ("fly", "kept", "again"))
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    for name, value in fly.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-3, atol=1e-4)


def test_latents_of_other_weights_scale_or_data_are_not_reused(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = encodings(monkeypatch)
    off = ("training.eval_strategy=no", "training.max_train_steps=1")
    other = write_tiny_vae(tmp_path / "other", factor=2, latent_channels=4, seed=1)
    runs = [
        read(windows, registry, vae, off, cache=True),
        read(windows, registry, other, off, cache=True),
        read(windows, registry, vae, off, cache=True, input_scale=0.5),
        read(windows, registry, vae, (*off, "dataset.max_train_samples=8"), cache=True),
    ]
    for number, run in enumerate(runs):
        train(run, tmp_path / str(number), registry=registry)
        assert len(calls) == number + 1
    assert calls[3] == 8


@pytest.mark.parametrize("damage", ["flipped", "cut", "unsealed"])
def test_damaged_latents_are_encoded_again(
    tmp_path: Path, windows: Path, vae: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, cache = toy_registry(), tmp_path / "cache"
    run = read(windows, registry, vae, ("training.eval_strategy=no",), cache=True)
    train(run, tmp_path / "first", registry=registry)
    (values,) = cache.rglob("latents.npy")
    content = values.read_bytes()
    if damage == "unsealed":
        (values.parent / "seal.json").unlink()
    else:
        values.write_bytes(content[:-4] + (b"" if damage == "cut" else bytes(4)))
    calls = encodings(monkeypatch)
    train(run, tmp_path / "second", registry=registry)
    assert len(calls) == 1
    assert values.read_bytes() == content
    assert {path.name for path in values.parent.parent.iterdir() if path.is_dir()} == {values.parent.name}


def test_of_several_at_once_one_encodes(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read(windows, registry, vae, cache=True)
    data = open_data(run, registry)
    assembly = assemble(run, registry, data.geometry, data.labels)
    assembly.representation.fit(data.train.source)  # type: ignore[arg-type]
    calls = encodings(monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(keep_latents, run, registry, data.train, assembly, torch.device("cpu")) for _ in range(4)]
    splits = [job.result() for job in jobs]
    assert len(calls) == 1
    first, *others = [split.batch([0, 1], [5, 3]) for split in splits]
    assert first.encoded
    assert all(torch.equal(first.data, other.data) for other in others)
    expected = assembly.codec.encode(assembly.representation.encode(torch.from_numpy(data.train.fetch([5, 3]))))
    torch.testing.assert_close(first.data, expected, rtol=1e-4, atol=1e-5)


def test_old_pictures_have_latents_too(tmp_path: Path, registry: Registry, vae: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((16, 16, 3), 80 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / split / f"{number}.png")
    run = read(tmp_path / "data", registry, vae, cache=True)
    train(run, tmp_path / "run", registry=registry)
    loaded = load_run(tmp_path / "run", registry=registry)
    assert tuple(loaded.assembly.task.shape) == (4, 8, 8)
    assert isinstance(loaded.assembly.codec, Vae)
    assert loaded.assembly.codec.input_scale == 1.0  # they fill [-1, 1] already
    assert list((tmp_path / "run" / "samples").glob("*.png"))


def test_the_first_pass_is_announced_with_its_place(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        train(read(windows, registry, vae, cache=True), tmp_path / "run", registry=registry)
    assert "latents of the train split once, into" in caplog.text


def test_loader_workers_map_the_table_for_themselves(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path
) -> None:
    for workers in (0, 2):
        run = read(windows, registry, vae, (f"dataset.num_workers={workers}",), cache=True)
        train(run, tmp_path / str(workers), registry=registry)
    none, two = weights(tmp_path / "0"), weights(tmp_path / "2")
    assert all(torch.equal(none[name], two[name]) for name in none)


def test_latent_space_takes_the_models_pretrained(tmp_path: Path, windows: Path, registry: Registry, vae: Path) -> None:
    file = tmp_path / "run.toml"
    model: dict[str, object] = {"name": "toy", "latent_space": True, "pretrained": str(vae)}
    file.write_text(toy_config(windows, model=model))
    run = read_run(file, (), registry)
    assert run.config.codec.name == "vae"
    assert run.config.codec.extras["pretrained"] == str(vae)
    file.write_text(toy_config(windows, model={"name": "toy", "latent_space": True}))
    with pytest.raises(SdError, match=r"which VAE: set codec.extras.pretrained .* or model.pretrained with"):
        train(read_run(file, (), registry), tmp_path / "run", registry=registry)


def test_a_dry_run_says_codec_latents_and_memory(windows: Path, registry: Registry, vae: Path) -> None:
    told = describe_run(read(windows, registry, vae), registry)
    line = next(line for line in told.splitlines() if line.startswith("codec "))
    assert "vae" in line
    assert "1x4x32 -> 4x2x16" in line
    assert "frozen" in line
