"""What must match when a training goes on under another config, and what may change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sd_core.config.compare import change_notices, differences
from sd_core.config.read import read_run
from sd_core.registry import Registry

Write = Callable[..., str]

HEAD = '[dataset]\nname = "somewhere"\n[model]\nname = "net"\n'


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("model.extras.depth=5", "[model.extras] depth: the checkpoint has 4, the config says 5"),
        ("model.extras.cfg_dropout=0.2", "[model.extras] cfg_dropout: the checkpoint has 0.1, the config says 0.2"),
        ("dataset.name=other", '[dataset] name: the checkpoint has "somewhere", the config says "other"'),
        ("dataset.batch_size=8", "[dataset] batch_size: the checkpoint has 16, the config says 8"),
        ("dataset.class_column=state", '[dataset] class_column: the checkpoint has "label", the config says "state"'),
        ("dataset.max_train_samples=8", "[dataset] max_train_samples: the checkpoint has none, the config says 8"),
        ("dataset.balance=['a']", '[dataset] balance: the checkpoint has [], the config says ["a"]'),
        ("training.seed=1", "[training] seed: the checkpoint has 0, the config says 1"),
        (
            "training.gradient_clip_norm=false",
            "[training] gradient_clip_norm: the checkpoint has 1.0, the config says false",
        ),
        ("training.ema_decay=0.9", "[training] ema_decay: the checkpoint has none, the config says 0.9"),
        (
            "optimizer.learning_rate=1",
            "[optimizer] learning_rate: the checkpoint has 0.0001, the config says 1.0",
        ),
        ("scheduler.warmup_steps=1", "[scheduler] warmup_steps: the checkpoint has 100, the config says 1"),
        ("data.extras.pre_emphasis=1", "[data.extras] pre_emphasis: the checkpoint has 0.0, the config says 1.0"),
        ("codec.name=vae", '[codec] name: the checkpoint has "none", the config says "vae"'),
        ("objective.extras.mean=0.5", "[objective.extras] mean: the checkpoint has 0.0, the config says 0.5"),
    ],
)
def test_what_must_match(write: Write, toys: Registry, override: str, line: str) -> None:
    file = write(HEAD)
    assert differences(read_run(file, (), toys), read_run(file, (override,), toys)) == [line]


@pytest.mark.parametrize(
    "override",
    [
        "settings.data_root=/elsewhere",
        "dataset.num_workers=3",
        "training.epochs=9",
        "training.max_train_steps=9",
        "training.checkpoint_interval=9",
        "training.eval_num_steps=9",
        "logging.tensorboard=false",
        "inference.sampler=euler",
        "inference.extras.order=3",
        "evaluation.metrics=['judge']",
    ],
)
def test_what_may_change(write: Write, toys: Registry, override: str) -> None:
    file = write(HEAD)
    assert differences(read_run(file, (), toys), read_run(file, (override,), toys)) == []


def test_what_a_run_began_with_may_move_but_not_appear_or_vanish(write: Write, toys: Registry) -> None:
    without, here, there = (
        read_run(write(HEAD), overrides, toys)
        for overrides in ((), ("model.pretrained=here",), ("model.pretrained=there",))
    )
    assert differences(here, there) == []
    line = "[model] pretrained: the checkpoint has {}, the config says {}"
    assert differences(without, here) == [line.format("none", '"here"')]
    assert differences(here, without) == [line.format('"here"', "none")]


def test_another_conditioner_is_another_run(write: Write, toys: Registry) -> None:
    file = write(HEAD)
    old, new = read_run(file, ("model.conditioning=classes",), toys), read_run(file, (), toys)
    assert differences(old, new) == [
        '[model] conditioning: the checkpoint has "classes", the config says "none"',
        "[conditioning] width: the checkpoint has 8, the config says none",
    ]


def test_a_longer_run_changes_the_curve_of_some_schedules(write: Write, toys: Registry) -> None:
    for shape, notices in (("cosine", 1), ("constant_with_warmup", 0)):
        file = write(HEAD + f"[scheduler]\nname = '{shape}'")
        old, new = read_run(file, (), toys), read_run(file, ("training.epochs=9",), toys)
        assert len(change_notices(old, new)) == notices
        assert change_notices(old, old) == []
    file = write(HEAD + "[scheduler]\nname = 'cosine'")
    old, new = read_run(file, (), toys), read_run(file, ("training.epochs=9",), toys)
    assert change_notices(old, new)[0].startswith("[training] epochs changed: the learning rate of [scheduler] name")
