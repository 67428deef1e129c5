"""A run may start from the weights of another one on this disk, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sd_core.config.read import Run, read_run
from sd_core.errors import SdError
from sd_core.run.assemble import Assembly, assemble
from sd_core.run.opening import open_data
from sd_core.run.pretrained import start_weights
from sd_core.run.train import train
from sd_core.testing.toys import toy_config, toy_registry, write_toy_windows

REGISTRY = toy_registry()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy run of four steps, its data beside it."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "run.toml").write_text(toy_config(write_toy_windows(folder / "data")))
    train(read_run(folder / "run.toml", registry=REGISTRY), folder / "run", registry=REGISTRY)
    return folder


def started(earlier: Path, file: Path, **model: object) -> tuple[Run, Assembly]:
    file.write_text(toy_config(earlier / "data", model=model))
    run = read_run(file, registry=REGISTRY)
    data = open_data(run, REGISTRY)
    return run, assemble(run, REGISTRY, data.geometry, data.labels)


@pytest.mark.parametrize("source", ["run", "run/checkpoint-4"])
def test_the_weights_of_a_run_or_checkpoint_are_taken(source: str, earlier: Path, tmp_path: Path) -> None:
    run, assembly = started(earlier, tmp_path / "run.toml", pretrained=str(earlier / source))
    start_weights(run, assembly)
    stored = load_file(earlier / "run" / "checkpoint-4" / "model.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in assembly.network.state_dict().items())


def test_what_cannot_be_taken_is_one_sentence(earlier: Path, tmp_path: Path) -> None:
    here = str(earlier / "run")
    for model, sentence in (
        ({"pretrained": "org/name"}, r"model.pretrained = 'org/name' is not a folder.*model 'toy' starts from"),
        ({"pretrained": here, "revision": "v1"}, r"model.revision = 'v1'.*leave the key out"),
        ({"pretrained": here, "extras": {"width": 4}}, r"does not fit this network: \d+ tensors differ"),
        ({"pretrained": here, "conditioning": "classes"}, r"first '[\w.]+' \(absent there, \(.*\) here\)"),
    ):
        run, assembly = started(earlier, tmp_path / "run.toml", **model)
        with pytest.raises(SdError, match=sentence):
            start_weights(run, assembly)
