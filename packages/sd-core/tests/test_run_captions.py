"""Runs that are told captions: from a column or a template, to the bit on resume, and the signals follow them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sd_core.config.read import read_run
from sd_core.errors import SdError
from sd_core.run.opening import open_data
from sd_core.run.sample import generate, load_run
from sd_core.run.train import train
from sd_core.testing.toys import TOY_SIGNAL, toy_config, toy_registry, write_toy_windows
from sd_core.testing.windows import made_up_rows
from sd_core.windows.writing import write_windows

CAPTION = {"model": {"name": "toy", "conditioning": "caption"}}
SMALL = {"width": 32, "layers": 1}
TEMPLATE = "EEG of a(n)[ {age:.0f}-year-old] {gender:F=woman|M=man}, {state}"


def config(folder: Path, data: Path, **tables: Any) -> Path:
    path = folder / "run.toml"
    path.write_text(toy_config(data, **{**CAPTION, "conditioning": SMALL, **tables}))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("toys") / "data")


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_two_steps_and_two_more_are_four_to_the_bit(tmp_path: Path, data: Path, template: str | None) -> None:
    conditioning = SMALL if template is None else {**SMALL, "template": template}
    path = config(tmp_path, data, conditioning=conditioning)
    registry = toy_registry()
    train(read_run(path, (), registry), tmp_path / "whole", registry=registry)
    half = ("training.max_train_steps=2", "dataset.num_workers=1")
    train(read_run(path, half, registry), tmp_path / "halves", registry=registry)
    train(read_run(path, (), registry), tmp_path / "halves", resume_from="latest", registry=registry)
    one, other = (load_file(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("whole", "halves"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any("conditioner.encoder" in name for name in one)


def captions_of(path: Path, split: str = "train") -> list[str]:
    registry = toy_registry()
    opened = open_data(read_run(path, (), registry), registry)
    source = opened.train if split == "train" else opened.split(split)
    found: list[str] = source.labels.rows(range(3))["caption"]
    return found


def test_a_template_speaks_of_other_labels(tmp_path: Path, data: Path) -> None:
    path = config(tmp_path, data, conditioning={**SMALL, "template": TEMPLATE})
    woman, busy, man = captions_of(path)
    assert (woman, busy) == ("EEG of a 20-year-old woman, rest", "EEG of a 20-year-old woman, arithmetic")
    assert man == "EEG of a man, rest"  # the third age is missing
    assert captions_of(path, "validation")[0] == "EEG of a 520-year-old woman, rest"


def test_any_text_column_may_be_named(tmp_path: Path, data: Path) -> None:
    path = config(tmp_path, data)
    assert captions_of(path)[0] == "EEG, rest"
    path = config(tmp_path, data, dataset={"name": str(data), "caption_column": "description"})
    assert captions_of(path)[0] == "A window of EEG, rest."


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"dataset": {"caption_column": "words"}}, r"'words', which .* does not have; it has corpus.*caption_column.*"),
        ({"dataset": {"caption_column": "age"}}, r"'age', which holds 20\.0, not text.*\{age\}"),
        (
            {"conditioning": {"template": "EEG, {stat}"}},
            r"names \{stat\}.*did you mean \{state\}\?.*columns are: corpus",
        ),
        (
            {"conditioning": {"template": "{health}"}, "dataset": {"health_column": "illness"}},
            r"names \{health\} \(the column 'illness'\), which this dataset does not have; its columns are",
        ),
        ({"conditioning": {"template": "{caption}"}}, r"cannot name \{caption\}"),
        ({"conditioning": {"template": "{state:.0f}"}}, r"column 'state' holds 'rest', which is not a number"),
        ({"conditioning": {"max_bytes": 8}}, r"2 of 2 different captions are longer than the 8 bytes"),
    ],
)
def test_captions_that_cannot_be_had_are_one_sentence(
    tmp_path: Path, data: Path, tables: dict[str, dict[str, Any]], problem: str
) -> None:
    tables = {**tables, "dataset": {"name": str(data), "batch_size": 4, **tables.get("dataset", {})}}
    registry = toy_registry()
    with pytest.raises(SdError, match=problem):
        train(read_run(config(tmp_path, data, **tables), (), registry), tmp_path / "run", registry=registry)


def learned_from(folder: Path, captions: dict[str, Any], **tables: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of a run on windows that all have these captions."""
    rows = [
        {**{column: value for column, value in row.items() if column != "caption"}, **captions}
        for row in made_up_rows(8, TOY_SIGNAL)
    ]
    write_windows(folder / "data", {"train": rows}, TOY_SIGNAL, {}, classes={"label": ("rest", "arithmetic")})
    path = folder / "run.toml"
    path.write_text(toy_config(folder / "data", **tables))
    train(read_run(path, (), toy_registry()), folder / "run", registry=toy_registry())
    return load_file(folder / "run" / "checkpoint-4" / "model.safetensors")


@pytest.mark.parametrize("conditioning", ["none", "classes", "attributes"])
def test_other_conditionings_do_not_care_for_captions(tmp_path: Path, conditioning: str) -> None:
    """Words, what is no word, or no captions at all: the weights are the same to the bit."""
    tables = {"model": {"name": "toy", "conditioning": conditioning}}
    absent = learned_from(tmp_path / "absent", {}, **tables)
    for caption in ("EEG of a woman", 7):
        found = learned_from(tmp_path / str(caption), {"caption": caption}, **tables)
        assert found.keys() == absent.keys()
        assert all(torch.equal(found[name], absent[name]) for name in found)


def test_the_conditioning_on_captions_cares_for_them(tmp_path: Path) -> None:
    texts = "EEG of a woman", "EEG of a man"
    one, other = (
        learned_from(tmp_path / text, {"caption": text}, **CAPTION, conditioning=SMALL)["denoiser.outer.weight"]
        for text in texts
    )
    assert not torch.equal(one, other)


def test_one_encoder_serves_a_network_that_takes_vectors_only(tmp_path: Path, data: Path) -> None:
    train(read_run(config(tmp_path, data), (), toy_registry()), tmp_path / "run", registry=toy_registry())
    conditioner = load_run(tmp_path / "run", registry=toy_registry()).assembly.network.conditioner
    assert (conditioner.emits.vector, conditioner.emits.tokens) == (32, 0)


def offset_rows(count: int) -> Iterator[dict[str, Any]]:
    """Windows well above zero for one caption and well below for another."""
    rng = np.random.default_rng(0)
    for number, row in enumerate(made_up_rows(count, TOY_SIGNAL)):
        noise = rng.standard_normal(row["signal"].shape, dtype=np.float32)
        yield {**row, "signal": noise + (-1) ** number, "caption": ("EEG of a woman", "EEG of a man")[number % 2]}


def test_signals_follow_their_caption_and_guidance_makes_them_follow_more(tmp_path: Path) -> None:
    write_windows(tmp_path / "data", {"train": offset_rows(64)}, TOY_SIGNAL, {})
    path = config(
        tmp_path,
        tmp_path / "data",
        dataset={"name": str(tmp_path / "data"), "batch_size": 16},
        model={**CAPTION["model"], "extras": {"cfg_dropout": 0.2}},
        optimizer={"learning_rate": 0.01},
        scheduler={"warmup_steps": 10},
        training={"max_train_steps": 30, "log_every_steps": 30, "checkpoint_interval": 30, "ema_profiles": []},
        inference={"denoising_steps": 6},
    )
    train(read_run(path, (), toy_registry()), tmp_path / "run", registry=toy_registry())

    def level(caption: str, scale: float) -> float:
        loaded = load_run(tmp_path / "run", (f"inference.cfg_scale={scale}",), registry=toy_registry())
        windows = generate(loaded, 16, given=[{"caption": caption}])
        assert windows.columns["caption"] == [caption or None] * 16
        return float(windows.signal.mean())

    woman, man = level("EEG of a woman", 1.0), level("EEG of a man", 1.0)
    assert woman > 0.5
    assert man < -0.5
    assert man + 0.2 < level("", 1.0) < woman - 0.2
    assert level("EEG of a woman", 3.0) - level("EEG of a man", 3.0) > 1.15 * (woman - man)
