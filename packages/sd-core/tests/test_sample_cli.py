"""sd-sample: what cannot be written or drawn is refused before the time is spent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from sd_core.cli.sample import main
from sd_core.components import Component
from sd_core.config.read import read_run
from sd_core.discovery import PluginRecord
from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.registry import Registry
from sd_core.run.drawing import Drawer
from sd_core.run.sample import drawing_precision, generate, load_run
from sd_core.run.train import train
from sd_core.task import GridShape, SignalInfo
from sd_core.testing.toys import ToyRepresentation, toy_config, toy_registry, write_toy_windows


class Electrodes(ToyRepresentation):
    """One electrode at a time."""

    def __init__(self, options: NoOptions, signal: SignalInfo) -> None:
        super().__init__(options, signal)
        self.parts = signal.n_channels
        self.shape = GridShape(1, 1, signal.n_samples)

    def encode(self, signal: Tensor, part: Tensor | None = None) -> Tensor:
        assert part is not None
        return super().encode(signal[torch.arange(len(signal)), part][:, None])

    def decode(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.parts, self.shape.width) * self.scale


def registry() -> Registry:
    component = Component(name="electrodes", summary="s", factory=f"{__name__}:Electrodes")
    plugin = PluginRecord(
        name="electrodes", distribution="electrodes", version="0", components={"representations": (component,)}
    )
    return toy_registry(plugin)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model after four steps."""
    return trained(tmp_path_factory.mktemp("sampled"))


def trained(folder: Path, *overrides: str) -> Path:
    config = folder / "run.toml"
    config.write_text(toy_config(write_toy_windows(folder / "data")))
    train(read_run(config, overrides, registry()), folder / "run", registry=registry())
    return folder / "run"


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("sd_core.registry.discover", registry)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)

    return call


def poison(monkeypatch: pytest.MonkeyPatch, name: str = "sd_core.run.drawing.Drawer.examples") -> None:
    monkeypatch.setattr(name, lambda *_, **__: pytest.fail("too late"))


def test_a_dataset_is_not_drawn_twice_into_one_folder(
    run_dir: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (run_dir, run_dir / "checkpoint-4"):  # one default folder for both
        done = sample(source, "-n", 2, "--to", "dataset")
        if source == run_dir:
            assert done.exit_code == 0, done.output
            assert (run_dir / "samples" / "dataset" / "windows.json").is_file()
        else:
            assert done.exit_code == 2
            assert "samples/dataset' exists already" in done.output
        poison(monkeypatch, "sd_core.run.sample.load_run")


def test_an_archive_is_replaced_and_help_says_so(tmp_path: Path, run_dir: Path, sample: Any) -> None:
    for seed in (1, 2):
        assert sample(run_dir, "-n", 2, "--seed", seed, "-o", tmp_path).exit_code == 0
    with np.load(tmp_path / "windows.npz") as archive:
        assert '"seed": 2' in str(archive["provenance"])
    assert "replaces its archive of an earlier drawing" in " ".join(sample("--help").output.split())


@pytest.mark.parametrize("exporter", ["npz", "dataset"])
def test_a_file_in_the_place_of_the_folder_is_refused_first(
    exporter: str, tmp_path: Path, run_dir: Path, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "sd_core.run.sample.load_run")
    (tmp_path / "file").touch()
    done = sample(run_dir, "--to", exporter, "-o", tmp_path / "file" / "there")
    assert done.exit_code == 2
    assert "is a file; name another folder" in done.output


def test_a_run_that_is_not_there_is_one_sentence(tmp_path: Path, sample: Any) -> None:
    done = sample(tmp_path / "none")
    assert done.exit_code == 2
    assert "there is no run or checkpoint at" in done.output


def test_half_precision_is_drawn_in_float32_where_the_processor_has_none(
    run_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = generate(load_run(run_dir, registry=registry()), 2).signal
    monkeypatch.setattr("sd_core.run.sample.cpu_has_bf16", lambda: False)
    for precision in ("fp16", "bf16"):
        loaded = load_run(run_dir, (f"training.mixed_precision={precision}",), registry=registry())
        if loaded.device.type != "cpu":
            pytest.skip("there is a GPU")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert (generate(loaded, 2).signal == plain).all()
        (said,) = [record.getMessage() for record in caplog.records if "drawing in float32" in record.getMessage()]
        assert precision in said


def test_the_precision_of_the_training_is_kept_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sd_core.run.sample.cpu_has_bf16", lambda: True)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [drawing_precision(cpu, name) for name in ("no", "bf16", "fp16")] == ["no", "bf16", "no"]
    assert [drawing_precision(gpu, name) for name in ("no", "bf16", "fp16")] == ["no", "bf16", "fp16"]


def test_weights_of_another_network_are_one_sentence(run_dir: Path) -> None:
    with pytest.raises(SdError, match=r"checkpoint-4 does not fit this network: \d+ tensors differ.*there.*here"):
        load_run(run_dir, ("model.extras.width=4",), registry=registry())


def test_no_batch_is_larger_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(tmp_path, "data.representation=electrodes")
    whole = generate(load_run(run, registry=registry()), 3)
    sizes, draw = [], Drawer.examples

    def counted(self: Drawer, positions: Tensor, labels: Any, part: Tensor | None) -> Tensor:
        sizes.append(len(positions))
        return draw(self, positions, labels, part)

    monkeypatch.setattr(Drawer, "examples", counted)
    pieces = generate(load_run(run, ("inference.batch_size=3",), registry=registry()), 3)
    assert sizes == [3, 1] * 3
    np.testing.assert_allclose(pieces.signal, whole.signal, rtol=1e-4, atol=1e-4)
