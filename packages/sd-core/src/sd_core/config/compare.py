"""Whether a training may go on under another config: what must match, what may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sd_core.config.problems import written
from sd_core.config.read import Run
from sd_core.config.statements import Path
from sd_core.config.write import literal

MAY_CHANGE: frozenset[Path] = frozenset(
    [
        ("settings",),
        ("logging",),
        ("inference",),
        ("evaluation",),
        ("dataset", "eval_batch_size"),
        ("dataset", "num_workers"),
        ("dataset", "test_split"),
        ("model", "lora", "base"),  # where it lies; that it is the same one is checked by its content
        ("model", "latent_space"),  # says no more than [codec] name, which must match
        ("codec", "extras", "pretrained"),  # where it lies; that it is the same one is checked by its content
        ("codec", "extras", "revision"),
        ("training", "epochs"),
        ("training", "max_train_steps"),
        ("training", "checkpoint_interval"),
        ("training", "checkpoint_total_limit"),
        ("training", "log_every_steps"),
        ("training", "eval_strategy"),
        ("training", "eval_num_steps"),
        ("training", "eval_num_examples"),
        ("training", "eval_num_pictures"),
        ("training", "eval_num_windows"),
        ("training", "gradient_checkpointing"),
        ("training", "compile_model"),
        ("training", "compile_mode"),
        ("training", "deterministic"),
    ]
)
"""Tables and keys that do not enter the computation. Everything else must match, new keys too."""

MAY_MOVE: frozenset[Path] = frozenset(
    [
        ("model", "pretrained"),
        ("model", "revision"),
        ("conditioning", "encoder"),
        ("conditioning", "encoder_revision"),
    ]
)
"""Keys that say where something lies, with which a run began or whose content its checkpoints know."""

WHAT_WEIGHTS_MEAN: tuple[Path, ...] = (
    ("data",),
    ("codec",),
    ("model", "name"),
    ("model", "extras"),
    ("objective", "name"),
    ("objective", "prediction_type"),
)
"""Tables and keys that weights are made for, whatever their shapes."""
LIMITS: tuple[Path, ...] = (("training", "epochs"), ("training", "max_train_steps"))
STEADY_SCHEDULES = frozenset({"constant", "constant_with_warmup"})
"""Learning rates that do not depend on how long the run is."""


def differences(old: Run, new: Run) -> list[str]:
    """What forbids to resume `old` as `new`: a line for each key that must match and does not."""
    return [
        f"{written(path)}: the checkpoint has {_shown(before)}, the config says {_shown(after)}"
        for path, before, after in _changes(old, new)
        if not _may_change(path) and not (path in MAY_MOVE and before is not None and after is not None)
    ]


def told_apart(base: Run, run: Run) -> list[str]:
    """In what the weights of `base` were made for something else than `run`: a line for each key."""
    return [
        f"{written(path)} was {_shown(before)} there and is {_shown(after)} here"
        for path, before, after in _changes(base, run)
        if any(path[: len(table)] == table for table in WHAT_WEIGHTS_MEAN)
        and path != ("model", "extras", "cfg_dropout")
    ]


def change_notices(old: Run, new: Run) -> list[str]:
    """What resuming `old` as `new` changes although it is allowed: sentences to say once."""
    shape = new.config.scheduler.name
    changed = [written(path) for path, _, _ in _changes(old, new) if path in LIMITS]
    if not changed or shape in STEADY_SCHEDULES:
        return []
    return [
        f"{' and '.join(changed)} changed: the learning rate of [scheduler] name = {literal(shape)} follows the new "
        "length of the run from here on"
    ]


def _may_change(path: Path) -> bool:
    return any(path[:length] in MAY_CHANGE for length in range(1, len(path) + 1))


def _changes(old: Run, new: Run) -> Iterator[tuple[Path, Any, Any]]:
    before, after = dict(_flat(old.tables(), ())), dict(_flat(new.tables(), ()))
    for path in [*after, *(path for path in before if path not in after)]:
        if before.get(path) != after.get(path):
            yield path, before.get(path), after.get(path)


def _flat(values: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, key))
        else:
            yield (*path, key), value


def _shown(value: Any) -> str:
    return "none" if value is None else literal(value)
