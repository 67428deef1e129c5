"""Autoguidance in a run: which checkpoint is the worse version, what it costs, what cannot be one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sd_core.config.read import Run, read_run
from sd_core.errors import SdError
from sd_core.run.referring import counted, networks_of
from sd_core.run.sample import generate, load_run, provenance
from sd_core.run.train import train
from sd_core.testing.toys import toy_config, toy_registry, write_toy_windows
from sd_core.testing.vaes import write_tiny_vae

REGISTRY = toy_registry()
KIND = 'inference.guidance="autoguidance"'


def read(data: Path, **tables: Mapping[str, object]) -> Run:
    file = data.parent / "run.toml"
    file.write_text(toy_config(data, **tables))
    return read_run(file, (), REGISTRY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unconditional run with checkpoints 2 and 4, and a smaller model of the same data."""
    folder = tmp_path_factory.mktemp("toy")
    data = write_toy_windows(folder / "data")
    train(read(data, optimizer={"learning_rate": 0.02}), folder / "run", registry=REGISTRY)
    train(read(data, model={"extras": {"width": 4}}), folder / "small", registry=REGISTRY)
    return folder


def drawn(source: Path, *overrides: str) -> NDArray[np.float32]:
    return generate(load_run(source, overrides, registry=REGISTRY), 3).signal


def guided(reference: object, scale: float) -> tuple[str, ...]:
    return KIND, f"inference.guidance_checkpoint={reference}", f"inference.cfg_scale={scale}"


def test_scales_lie_on_the_line_through_both_models(folder: Path) -> None:
    run, before = folder / "run", folder / "run" / "checkpoint-2"
    assert (drawn(run, *guided(2, 1.0)) == drawn(run)).all()
    assert (drawn(run, *guided(2, 0.0)) == drawn(before)).all()
    assert (drawn(run, *guided(before, 2.0)) == drawn(run, *guided(2, 2.0))).all(), "a step or its folder"
    away = np.abs(drawn(run, *guided(2, 3.0)) - drawn(before)).mean()
    assert away > 1.5 * np.abs(drawn(run) - drawn(before)).mean()


def test_a_smaller_model_will_do_and_both_networks_arecounted(folder: Path) -> None:
    loaded = load_run(folder / "run", guided(folder / "small", 2.0), registry=REGISTRY)
    with counted(networks_of(loaded)) as rows:
        generate(loaded, 3)
    assert rows[0] == 3 * 2 * 3, "two steps of Heun evaluate three velocities, each in two networks"
    assert provenance(loaded, 3, None)["guidance_checkpoint"] == str(folder / "small")


def test_what_cannot_guide_is_one_sentence(folder: Path) -> None:
    for reference, sentence in (
        (3, r"inference.guidance_checkpoint = 3: there is no .*checkpoint-3; steps there: 2, 4"),
        (4, r"inference.guidance_checkpoint is .*checkpoint-4, the model itself"),
        (folder / "run", r"the model itself: name an earlier checkpoint"),
        (folder / "absent", r"there is no run or checkpoint at .*absent"),
    ):
        with pytest.raises(SdError, match=sentence):
            load_run(folder / "run", guided(reference, 2.0), registry=REGISTRY)


def test_it_must_have_been_trained_on_the_same_view_and_labels(folder: Path, tmp_path: Path) -> None:
    data, one_step = folder / "data", {"max_train_steps": 1}
    told = read(data, model={"conditioning": "classes"}, training=one_step)
    train(told, tmp_path / "told", registry=REGISTRY)
    fewer = read(data, dataset={"max_train_samples": 5}, training=one_step)
    train(fewer, tmp_path / "fewer", registry=REGISTRY)
    for reference, sentence in (
        ("told", r"told.*checkpoint-1 cannot guide .*: it is told 'class', which the model is not"),
        ("fewer", r"its representation has other statistics"),
    ):
        with pytest.raises(SdError, match=sentence):
            load_run(folder / "run", guided(tmp_path / reference, 2.0), registry=REGISTRY)
    unconditional = guided(folder / "small", 2.0)
    assert generate(load_run(tmp_path / "told", unconditional, registry=REGISTRY), 2).columns["label"]


def test_it_must_speak_of_the_same_labels_in_the_same_words(folder: Path, tmp_path: Path) -> None:
    told, small = {"name": "toy", "conditioning": "caption"}, {"width": 32, "layers": 1}
    for name, template in (("said", "EEG, {state}"), ("alike", "EEG, {state}"), ("else", "{state} EEG")):
        training = {"max_train_steps": 2, "checkpoint_interval": 1}
        run = read(folder / "data", model=told, conditioning={**small, "template": template}, training=training)
        train(run, tmp_path / name, registry=REGISTRY)
    loaded = load_run(tmp_path / "said", guided(tmp_path / "alike", 2.0), registry=REGISTRY)
    assert loaded.earlier is not None
    assert loaded.earlier.codec is loaded.assembly.codec, "equal parts stand on the device once"
    sentence = r"else.* cannot guide .*its captions are made by the template '\{state\} EEG', the model's are made by"
    with pytest.raises(SdError, match=sentence):
        load_run(tmp_path / "said", guided(tmp_path / "else", 2.0), registry=REGISTRY)


def test_latents_of_another_vae_are_another_view(folder: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        vae = write_tiny_vae(tmp_path / f"vae-{seed}", factor=2, latent_channels=4, seed=seed)
        codec = {"name": "vae", "extras": {"pretrained": str(vae)}}
        run = read(folder / "data", codec=codec, training={"max_train_steps": 2, "checkpoint_interval": 1})
        train(run, tmp_path / f"run-{seed}", registry=REGISTRY)
    load_run(tmp_path / "run-0", guided(tmp_path / "run-0" / "checkpoint-1", 2.0), registry=REGISTRY)
    with pytest.raises(SdError, match=r"cannot guide .*: it was trained in another latent space"):
        load_run(tmp_path / "run-0", guided(tmp_path / "run-1", 2.0), registry=REGISTRY)


def test_pictures_of_a_training_say_that_they_are_not_guided(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inference = {"guidance": "autoguidance", "guidance_checkpoint": 1, "cfg_scale": 2.0}
    evaluated = {"max_train_steps": 1, "eval_num_steps": 1}
    train(read(folder / "data", inference=inference, training=evaluated), tmp_path / "run", registry=REGISTRY)
    assert "drawn without guidance" in caplog.text
