"""Every representation trains, previews and samples in the latent space of a VAE, in both layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sd_core.config.read import read_run
from sd_core.plugin import SignalInfo
from sd_core.registry import Registry, discover
from sd_core.run.sample import generate, load_run
from sd_core.run.train import train
from sd_core.testing.toys import toy_config, toy_registry
from sd_core.testing.vaes import write_tiny_vae
from sd_core.testing.windows import write_miniature

NAMES = tuple(f"ch{number:02d}" for number in range(1, 21))
SIGNAL = SignalInfo(channel_names=NAMES, n_samples=2048, sfreq=125.0, reference="average")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return toy_registry(next(record for record in discover().plugins if record.name == "sd-data"))


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_miniature(tmp_path_factory.mktemp("eeg") / "data", SIGNAL, train=4, held_out=2)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vae(tmp_path_factory.mktemp("vae"))


def config(windows: Path, view: dict[str, object], codec: dict[str, object]) -> str:
    return toy_config(
        windows,
        data=view,
        dataset={"batch_size": 2, "eval_batch_size": 2},
        codec={"name": "vae", "extras": codec},
        training={
            "max_train_steps": 2,
            "log_every_steps": 1,
            "eval_num_steps": 2,
            "eval_num_examples": 2,
            "eval_num_pictures": 2,
        },
        inference={"denoising_steps": 1, "sampler": "euler"},
    )


@pytest.mark.parametrize("layout", ["stack", "electrode"])
def test_kept_latents_are_those_of_the_same_examples(
    tmp_path: Path, windows: Path, registry: Registry, vae: Path, layout: str
) -> None:
    """Losses of a run that reads kept latents are those of one that encodes each batch."""
    losses = []
    for cache in (False, True):
        file, folder = tmp_path / "run.toml", tmp_path / f"run-{cache}"
        view: dict[str, object] = {"representation": "db-iq", "extras": {"layout": layout}}
        file.write_text(config(windows, view, {"pretrained": str(vae), "cache": cache}))
        train(read_run(file, (), registry), folder, registry=registry)
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line).get("loss", 0.0) for line in lines])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize(
    ("representation", "layout", "latent"),
    [
        ("timeseries", None, (16, 4, 256)),
        ("db-only", "stack", (16, 40, 32)),
        ("db-iq", "stack", (16, 40, 32)),
        ("db-polar", "stack", (16, 40, 32)),
        ("db-only", "electrode", (16, 8, 8)),
        ("db-iq", "electrode", (16, 8, 8)),
    ],
)
def test_it_goes_all_the_way_in_latents(  # noqa: PLR0917 - three of them are fixtures
    tmp_path: Path,
    windows: Path,
    registry: Registry,
    vae: Path,
    representation: str,
    layout: str | None,
    latent: tuple[int, int, int],
) -> None:
    file = tmp_path / "run.toml"
    view: dict[str, object] = {"representation": representation, "extras": {} if layout is None else {"layout": layout}}
    file.write_text(config(windows, view, {"pretrained": str(vae)}))
    train(read_run(file, (), registry), tmp_path / "run", registry=registry)
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    loaded = load_run(tmp_path / "run", registry=registry)
    assert tuple(loaded.assembly.task.shape) == latent
    drawn = generate(loaded, 1).signal
    assert drawn.shape == (1, SIGNAL.n_channels, SIGNAL.n_samples)
    assert np.isfinite(drawn).all()
