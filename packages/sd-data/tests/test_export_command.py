"""`sd-sample --to FORMAT` on a trained model; what it writes trains the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import mne_bids
import numpy as np
import pytest
from click.testing import CliRunner

from sd_core.cli.sample import main
from sd_core.config.read import read_run
from sd_core.registry import Registry, discover
from sd_core.run.train import train
from sd_core.testing.toys import toy_config, toy_registry
from sd_core.testing.windows import MINIATURE, write_miniature
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_data import cli


@pytest.fixture(scope="module")
def registry() -> Registry:
    return toy_registry(next(record for record in discover().plugins if record.name == "sd-data"))


def trained(folder: Path, data: Path, registry: Registry, **tables: Any) -> Path:
    tables = {"data": {"representation": "timeseries"}, **tables}
    config = folder / "run.toml"
    config.write_text(toy_config(data, **tables))
    train(read_run(config, (), registry), folder / "run", registry=registry)
    return folder / "run"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """A model of rest and arithmetic after four steps."""
    folder = tmp_path_factory.mktemp("model")
    return trained(folder, write_miniature(folder / "data"), registry, model={"name": "toy", "conditioning": "classes"})


@pytest.fixture
def sample(run_dir: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("sd_core.registry.discover", lambda: registry)

    def call(*arguments: object) -> Path:
        result = CliRunner().invoke(main, [str(run_dir), "-n", "4", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return run_dir / "samples"

    return call


def test_every_format_holds_the_same_windows(sample: Any) -> None:
    for name in ("npz", "fif", "edf", "bids"):
        folder = sample("--to", name, "--class", "rest", "--seed", "5")
    with np.load(folder / "npz" / "windows.npz") as archive:
        expected = archive["signal"]
    assert expected.shape == (4, 4, 256)
    epochs = mne.read_epochs(folder / "fif" / "generated-epo.fif", verbose="error")
    assert set(epochs.event_id) == {"synthetic/rest"}
    assert '"seed": 5' in epochs.info["description"]
    assert "toy checkpoint-4" in epochs.info["description"]
    edf = [mne.io.read_raw(path, verbose="error") for path in sorted((folder / "edf").glob("*.edf"))]
    paths = mne_bids.find_matching_paths(folder / "bids", tasks="rest", extensions=".vhdr")
    bids = [mne_bids.read_raw_bids(path, verbose="error") for path in paths]
    step = np.ptp(expected, axis=-1).max() / 65535
    np.testing.assert_allclose(epochs.get_data() * 1e6, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([raw.get_data() * 1e6 for raw in edf], expected, atol=step)
    np.testing.assert_allclose([raw.get_data() * 1e6 for raw in bids], expected, rtol=1e-5, atol=1e-5)


def test_a_generated_dataset_trains_the_next_model(sample: Any, tmp_path: Path, registry: Registry) -> None:
    sample("--to", "dataset", "-o", tmp_path / "made")
    made = open_split(tmp_path / "made", "train")
    assert isinstance(made, WindowSet)
    assert made.info == MINIATURE
    assert set(made.column("corpus")) == {"synthetic"}
    second = trained(tmp_path, tmp_path / "made", registry, training={"max_train_steps": 2, "checkpoint_interval": 2})
    assert (second / "checkpoint-2").is_dir()


@pytest.mark.parametrize("name", ["edf", "bids"])
def test_exported_files_build_a_dataset_again(name: str, sample: Any, tmp_path: Path) -> None:
    """Through the doors for any lab's recordings; filters off, so that the windows are the ones drawn."""
    sample("--to", name, "-o", tmp_path / "files", "--class", "arithmetic", "--seed", "5")
    sample("--to", "npz", "-o", tmp_path, "--class", "arithmetic", "--seed", "5")
    asis = ["low_hz=0", "high_hz=0", "notch_hz=0", "peak_uv=0", "reference=original", "window_s=2.048"]
    settings = [part for each in [*asis, "split=[1, 0, 0]"] for part in ("--set", each)]
    corpus = {"edf": "files", "bids": "bids"}[name]
    arguments = ["build", corpus, "--source", str(tmp_path / "files"), "-o", str(tmp_path / "built"), *settings]
    result = CliRunner().invoke(cli.main, [*arguments, "--channels", ",".join(MINIATURE.channel_names)])
    assert result.exit_code == 0, result.output
    built = open_split(tmp_path / "built", "train")
    assert isinstance(built, WindowSet)
    assert built.column("subject") == [f"synthetic{number:06d}" for number in range(4)]
    assert set(built.column("state")) == {"arithmetic"}
    with np.load(tmp_path / "windows.npz") as archive:
        drawn = archive["signal"]
    means = drawn.mean(-1, keepdims=True)  # a build takes them away
    np.testing.assert_allclose(built.signals(range(4)), drawn - means, atol=np.ptp(drawn, axis=-1).max() / 65535)
