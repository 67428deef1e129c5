"""Adapters on a trained network: what they change, what stays, what is saved, what is refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sd_core.components import Component
from sd_core.config.read import Run, read_resolved, read_run
from sd_core.config.sections import Lora
from sd_core.diffusion.conditioning import Unconditional
from sd_core.discovery import PluginRecord
from sd_core.errors import SdError
from sd_core.options import NoOptions, Options
from sd_core.run.assemble import Assembly, Geometry, assemble
from sd_core.run.base import content_hash, lay_base
from sd_core.run.costs import measure
from sd_core.run.dryrun import describe_run
from sd_core.run.loading import load_assembly, stored_weights
from sd_core.run.lora import adapt
from sd_core.run.network import Network
from sd_core.run.origin import read_base
from sd_core.run.sample import generate, load_run
from sd_core.run.stored import RUN, read_card
from sd_core.run.train import train
from sd_core.run.trainer import Trainer
from sd_core.task import GridShape, LabelSpace, Task
from sd_core.testing.toys import TOY_SIGNAL, ToyDenoiser, ToyOptions, toy_config, toy_registry, write_toy_windows

HUB = {"weights": 7}
"""Stands for a hub: the seed of what lies there."""


class HubOptions(Options):
    """Of a network that loads its own weights."""

    pretrained: str | None = None
    """From `[model]`."""


class HubDenoiser(ToyDenoiser):
    """Loads what lies on the hub."""

    lora_targets = ("mix",)

    def __init__(self, options: HubOptions, task: Task) -> None:
        super().__init__(ToyOptions(), task)
        if options.pretrained is not None:
            generator = torch.Generator().manual_seed(HUB["weights"])
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter.normal_(std=0.3, generator=generator)


_HUB = Component(
    name="hubtoy",
    summary="a toy with weights of its own",
    factory=f"{__name__}:HubDenoiser",
    options=f"{__name__}:HubOptions",
    supports=frozenset({"vector"}),
)
REGISTRY = toy_registry(
    PluginRecord(name="hub", distribution="hub", version="0", components={"architectures": (_HUB,)})
)
CLASSES = {"conditioning": "classes"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def base(data: Path) -> Path:
    """A run to adapt, told the class; its average is far from its weights."""
    train(read(data, model=CLASSES, optimizer={"learning_rate": 0.01}), data.parent / "base", registry=REGISTRY)
    return data.parent / "base"


def read(data: Path, *overrides: str, **tables: Mapping[str, object]) -> Run:
    file = data.parent / "run.toml"
    file.write_text(toy_config(data, **tables))
    return read_run(file, overrides, REGISTRY)


def adapted(
    data: Path, source: Path, *overrides: str, training: Mapping[str, object] | None = None, **lora: object
) -> Run:
    table = {"base": str(source), "rank": 2, "target_modules": ["mix"], **lora}
    quick = {"learning_rate": 0.02}
    return read(data, *overrides, model={**CLASSES, "lora": table}, optimizer=quick, training=training or {})


def tensors(checkpoint: Path) -> dict[str, Tensor]:
    return load_file(checkpoint / "model.safetensors")


@pytest.fixture(scope="module")
def lora(data: Path, base: Path) -> Path:
    train(adapted(data, base), data.parent / "lora", registry=REGISTRY)
    return data.parent / "lora"


def test_the_base_is_what_one_would_sample_from(base: Path, lora: Path) -> None:
    card = read_base(lora / "checkpoint-4")
    assert (card.source, card.checkpoint, card.average) == (str(base), "checkpoint-4", "0.1")
    averaged = load_file(base / "checkpoint-4" / "ema-0.1.safetensors")
    frozen = {name: value for name, value in averaged.items() if name.startswith("denoiser.")}
    assert card.sha256 == content_hash(frozen)
    assert card.sha256 != content_hash({name: tensors(base / "checkpoint-4")[name] for name in frozen})


def test_the_base_is_untouched(data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = []
    save = Trainer.save
    watch = {"max_train_steps": 4, "checkpoint_interval": 1}

    def saved(trainer: Trainer) -> None:
        hashes.append(content_hash(trainer.state.network.base_state()))
        save(trainer)

    monkeypatch.setattr(Trainer, "save", saved)
    train(adapted(data, base, training=watch), tmp_path / "run", registry=REGISTRY)
    assert hashes == [read_base(tmp_path / "run" / "checkpoint-4").sha256] * 4


def test_what_is_saved(lora: Path) -> None:
    stored = tensors(lora / "checkpoint-4")
    assert {name: tuple(value.shape) for name, value in stored.items()} == {
        "denoiser.mix.lora_A.default.weight": (2, 8),
        "denoiser.mix.lora_B.default.weight": (8, 2),
        "conditioner.table.weight": (3, 256),
    }
    assert stored["denoiser.mix.lora_B.default.weight"].any(), "the adapter did not move"
    average = load_file(lora / "checkpoint-4" / "ema-0.1.safetensors")
    assert average.keys() == stored.keys(), "the average holds what is trained and nothing else"


def test_the_adapter_is_small_on_disk(data: Path, tmp_path: Path) -> None:
    wide = {"extras": {"width": 512}}
    once = {"max_train_steps": 1, "ema_profiles": []}
    train(read(data, model=wide, training=once), tmp_path / "base", registry=REGISTRY)
    table = {"base": str(tmp_path / "base"), "rank": 1, "target_modules": ["mix"]}
    train(read(data, model={**wide, "lora": table}, training=once), tmp_path / "lora", registry=REGISTRY)
    sizes = [(tmp_path / run / "checkpoint-1" / "model.safetensors").stat().st_size for run in ("lora", "base")]
    assert sizes[0] < 0.01 * sizes[1]


def unmerged(checkpoint: Path) -> Assembly:
    run, card = read_resolved(checkpoint / RUN, registry=REGISTRY), read_card(checkpoint)
    assembly = assemble(run, REGISTRY, card.geometry, card.labels)
    lay_base(run, assembly, REGISTRY, checkpoint)
    assembly.network.load_own(stored_weights(run, checkpoint))
    return assembly


def test_merged_and_unmerged_say_the_same(base: Path, lora: Path) -> None:
    checkpoint = lora / "checkpoint-4"
    merged = load_run(checkpoint, registry=REGISTRY).assembly.network
    plain = load_run(base, registry=REGISTRY).assembly.network
    assert merged.state_dict().keys() == plain.state_dict().keys(), "merged, it is a plain network"
    x, t = torch.randn(3, 1, 4, 32), torch.tensor([0.1, 0.5, 0.9])
    labels = {"class": torch.tensor([0, 1, -1])}
    with torch.no_grad():
        apart = unmerged(checkpoint).network(x, t, labels)
        torch.testing.assert_close(merged(x, t, labels), apart, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(plain(x, t, labels), apart, rtol=1e-3), "training changed nothing"


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"train": ["condition"], "init": "gaussian"}])
def test_three_steps_and_three_more_are_six_to_the_bit(
    data: Path, base: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    six = {"max_train_steps": 6, "checkpoint_interval": 3}
    run = adapted(data, base, training=six, **options)
    train(run, tmp_path / "whole", registry=REGISTRY)
    short = adapted(data, base, training={**six, "max_train_steps": 3}, **options)
    train(short, tmp_path / "parts", registry=REGISTRY)
    train(run, tmp_path / "parts", resume_from="latest", registry=REGISTRY)
    for name in ("model.safetensors", "ema-0.1.safetensors"):
        whole, parts = (load_file(tmp_path / kind / "checkpoint-6" / name) for kind in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert (tmp_path / "whole" / "metrics.jsonl").read_bytes() == (tmp_path / "parts" / "metrics.jsonl").read_bytes()


def test_checkpointing_changes_no_weight_and_compiled_blocks_train(data: Path, base: Path, tmp_path: Path) -> None:
    train(adapted(data, base), tmp_path / "plain", registry=REGISTRY)
    train(adapted(data, base, training={"gradient_checkpointing": True}), tmp_path / "again", registry=REGISTRY)
    plain, again = (tensors(tmp_path / name / "checkpoint-4") for name in ("plain", "again"))
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    network = unmerged(tmp_path / "plain" / "checkpoint-4").network
    x, t, labels = torch.randn(2, 1, 4, 32), torch.rand(2), {"class": torch.tensor([0, 1])}
    eager = network(x, t, labels)
    for block in network.blocks():
        block.compile(backend="eager")
    torch.testing.assert_close(network(x, t, labels), eager, rtol=1e-5, atol=1e-6)


def test_the_trained_share_is_said(data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = adapted(data, base)
    train(run, tmp_path / "run", registry=REGISTRY)
    # 233 of the toy, 8 x 256 + 8 of its condition, 3 x 256 of the class table; 32 in the adapter
    told = "LoRA: 800 of 3,089 weights are trained (25.90%)"
    assert told in capsys.readouterr().err
    assert "3,089 (800 trained, 25.90%)" in describe_run(run, REGISTRY)


def test_frozen_weights_have_no_gradients_and_no_moments(data: Path, base: Path) -> None:
    wide = {"width": 64}
    table = {"base": str(base), "rank": 1, "target_modules": ["mix"]}
    whole, lora = (
        measure(read(data, model={"extras": wide, **more}), REGISTRY, Geometry(info=TOY_SIGNAL), LabelSpace())
        for more in ({}, {"lora": table})
    )
    assert whole.trainable == whole.parameters == lora.parameters - lora.trainable
    assert lora.trainable == 2 * 64
    assert lora.state_bytes == 4 * (lora.parameters + lora.trainable * 4)
    assert lora.flops < whole.flops


def test_a_conditioner_may_be_new_to_the_base(data: Path, tmp_path: Path) -> None:
    train(read(data), tmp_path / "base", registry=REGISTRY)
    with pytest.raises(SdError, match=r"first 'denoiser.condition.bias' \(absent there.*named in model.lora.train"):
        train(adapted(data, tmp_path / "base"), tmp_path / "run", registry=REGISTRY)
    train(adapted(data, tmp_path / "base", train=["condition"]), tmp_path / "run", registry=REGISTRY)
    stored = tensors(tmp_path / "run" / "checkpoint-4")
    assert {"denoiser.condition.weight", "denoiser.condition.bias", "conditioner.table.weight"} <= stored.keys()
    assert generate(load_run(tmp_path / "run", registry=REGISTRY), 2).columns["label"]


def test_a_checkpoint_finds_its_base_or_says_so(data: Path, tmp_path: Path) -> None:
    train(read(data, model=CLASSES), tmp_path / "base", registry=REGISTRY)
    run = adapted(data, tmp_path / "base")
    train(run, tmp_path / "lora", registry=REGISTRY)
    alone = shutil.copytree(tmp_path / "lora" / "checkpoint-4", tmp_path / "elsewhere")
    drawn = generate(load_run(alone, registry=REGISTRY), 2).signal

    longer = read(data, model=CLASSES, training={"max_train_steps": 6})
    train(longer, tmp_path / "base", resume_from="latest", registry=REGISTRY)
    assert (generate(load_run(alone, registry=REGISTRY), 2).signal == drawn).all(), "the base's newest is not its base"

    moved = tmp_path / "base" / "checkpoint-4"
    moved.rename(tmp_path / "kept")
    with pytest.raises(SdError, match=r"model.lora.base = .* holds other weights than those that .*elsewhere"):
        load_run(alone, registry=REGISTRY)
    there = f"model.lora.base={tmp_path / 'kept'}"
    assert (generate(load_run(alone, [there], registry=REGISTRY), 2).signal == drawn).all()
    resumed = adapted(data, tmp_path / "base", there, training={"max_train_steps": 5})
    train(resumed, tmp_path / "lora", resume_from="latest", registry=REGISTRY)

    shutil.rmtree(tmp_path / "base")
    with pytest.raises(SdError, match=r"is not a folder here: adapters need the run .* --set model.lora.base=FOLDER"):
        load_run(alone, registry=REGISTRY)


def test_a_network_that_loads_its_own_weights(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"name": "hubtoy", "pretrained": "org/toy", "lora": {"rank": 1}}
    train(read(data, model=model), tmp_path / "lora", registry=REGISTRY)
    card = read_base(tmp_path / "lora" / "checkpoint-4")
    assert (card.source, card.folder, card.average) == ("org/toy", None, None)
    generate(load_run(tmp_path / "lora", registry=REGISTRY), 1)
    monkeypatch.setitem(HUB, "weights", 8)
    with pytest.raises(SdError, match=r"model.pretrained = 'org/toy' holds other weights"):
        load_run(tmp_path / "lora", registry=REGISTRY)


def test_a_run_of_a_network_that_loads_its_own_weights_can_be_the_base(data: Path, tmp_path: Path) -> None:
    model: dict[str, object] = {"name": "hubtoy", "pretrained": "org/toy"}
    train(read(data, model=model, optimizer={"learning_rate": 0.01}), tmp_path / "full", registry=REGISTRY)
    run = read(data, model={**model, "lora": {"base": str(tmp_path / "full"), "rank": 1}})
    train(run, tmp_path / "lora", registry=REGISTRY)
    full = load_file(tmp_path / "full" / "checkpoint-4" / "ema-0.1.safetensors")
    assert read_base(tmp_path / "lora" / "checkpoint-4").sha256 == content_hash(full)


def test_what_cannot_be_adapted_is_one_sentence(data: Path, base: Path, lora: Path, tmp_path: Path) -> None:
    for options, sentence in (
        ({"target_modules": []}, r"recommends no layers .* model.lora.target_modules, such as inner, mix, outer"),
        ({"target_modules": ["qkv"]}, r"model.lora.target_modules: no module of this network is called 'qkv'"),
        ({"target_modules": ["dropout"]}, r"no module of this network is called 'dropout'; there are inner, mix"),
        ({"train": ["norm"]}, r"model.lora.train: no module .* 'norm'; there are inner, mix, outer, time, condition"),
        ({"base": str(tmp_path / "absent")}, r"model.lora.base = '.*absent' is not a folder here"),
        ({"base": str(lora)}, r"model.lora.base: .* holds adapters itself"),
    ):
        with pytest.raises(SdError, match=sentence):
            train(adapted(data, base, **options), tmp_path / "run", registry=REGISTRY)
    unread = read(data, dataset={"name": "nowhere"}, model={"lora": {"base": "absent"}})
    with pytest.raises(SdError, match=r"model.lora.base = 'absent'"):
        train(unread, tmp_path / "run", registry=REGISTRY)
    both = read(data, model={**CLASSES, "pretrained": str(base), "lora": {"base": str(base)}})
    with pytest.raises(SdError, match=r"model.pretrained and model.lora.base both name a base"):
        train(both, tmp_path / "run", registry=REGISTRY)


def test_a_base_of_another_architecture_is_refused_in_one_sentence(
    data: Path, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = read(data, model={**CLASSES, "name": "hubtoy", "lora": {"base": str(base), "rank": 1}})
    sentence = r"^model.lora.base: .*checkpoint-4 is a 'toy' and this run a 'hubtoy': .* the same network; [^\n]*$"
    with pytest.raises(SdError, match=sentence):
        train(run, tmp_path / "run", registry=REGISTRY)
    assert "the base differs" not in caplog.text


def test_a_layer_that_the_network_froze_gets_no_adapter() -> None:
    denoiser = ToyDenoiser(ToyOptions(), Task(GridShape(1, 4, 32)))
    denoiser.time.requires_grad_(False)
    network = Network(denoiser, Unconditional(NoOptions(), LabelSpace()))
    adapt(network, Lora(rank=1, target_modules=("time", "mix"), train=("outer",)), seed=0)
    learned = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    adapter = {f"denoiser.mix.lora_{side}.default.weight" for side in "AB"}
    assert learned == adapter | {"denoiser.outer.weight", "denoiser.outer.bias"}
    assert set(network.parameter_roles()) == learned
    assert network.parameter_roles()["denoiser.mix.lora_A.default.weight"] == "embedding"


def test_without_peft_the_extra_is_named(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SdError, match=r'needs peft: pip install "sd-core\[lora\]"'):
        train(adapted(data, base), tmp_path / "run", registry=REGISTRY)


def test_another_purpose_of_the_base_is_said(
    data: Path, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = adapted(data, base, 'objective.prediction_type="sample"')
    train(run, tmp_path / "run", registry=REGISTRY)
    assert '[objective] prediction_type was "auto" there and is "sample" here' in caplog.text


def test_adapters_that_were_changed_are_refused(lora: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(lora / "checkpoint-4", tmp_path / "copy")
    stored = tensors(folder)
    save_file({name: value for name, value in stored.items() if "lora_B" not in name}, folder / "model.safetensors")
    save_file({}, folder / "ema-0.1.safetensors")
    with pytest.raises(SdError, match=r"first 'denoiser.mix.lora_B.default.weight' \(absent there"):
        load_assembly(read_resolved(folder / RUN, registry=REGISTRY), folder, read_card(folder), REGISTRY)


def test_content_decides_the_hash() -> None:
    one = {"a": torch.arange(4.0), "b.weight": torch.ones(2, 3)}
    same = {"b.base_layer.weight": torch.ones(2, 3), "a": torch.arange(4.0)}
    assert content_hash(one) == content_hash(same), "order and adapters do not matter"
    for other in (
        {**one, "a": torch.arange(4.0).flip(0)},
        {**one, "b.weight": torch.ones(3, 2)},
        {**one, "a": torch.arange(4.0).double()},
        {"c": one["a"], "b.weight": one["b.weight"]},
    ):
        assert content_hash(other) != content_hash(one)
    assert content_hash({"a": torch.tensor(1.0)}) != content_hash({"a": torch.tensor(2.0)})
