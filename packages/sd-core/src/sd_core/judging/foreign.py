"""The judging story for samples from anywhere: two or three sets of windows, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sd_core.config.read import read_evaluation
from sd_core.errors import SdError
from sd_core.judging.alike import electrode_order, refuse_other_kind, refuse_other_scale
from sd_core.judging.gather import fingerprint, usable_metrics
from sd_core.judging.opening import holds_archives, open_samples
from sd_core.judging.results import (
    MOST_REAL,
    MOST_TRAIN,
    Counting,
    Judgement,
    Three,
    build_report,
    judged,
    silent,
    subjects_of,
    write_results,
)
from sd_core.judging.samples import Samples
from sd_core.registry import Registry, discover
from sd_core.task import Windows
from sd_core.windows.room import refuse_unwritable

SEED = 1
"""Of the floor's draw and the surrogates, unless another is given."""


def judge_samples(
    real: Path,
    generated: Path,
    *,
    train: Path | None = None,
    splits: tuple[str, str] = ("test", "train"),
    out: Path | None = None,
    count: int | None = None,
    seed: int = SEED,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    counting: Counting = silent,
) -> Judgement:
    """Judge generated windows from anywhere against real ones.

    The electrodes of a window count as generated together: nobody says otherwise.

    Args:
        real: A window dataset, whose splits are the reference and the training windows; or an archive (.npz) or
            a folder of archives, which has no splits.
        generated: A window dataset (all its splits), an archive or a folder of archives.
        train: What the generator was trained on, where that is not a split of `real`.
        splits: Of the reference and of the training windows.
        out: Folder of metrics.json and the report; without it, `generated` with "-evaluation" behind its name.
        count: Generated windows to use at most.
        seed: Of what is drawn at random: windows where there are too many, the floor, the surrogates.
        overrides: `evaluation.key=value` settings.
        registry: The installed plugins, when the caller has them.
        counting: Shows progress.

    Raises:
        SdError: a set cannot be read or is not of the reference's rate, electrodes, length or unit; a metric or the
            report is not installed; or the folder cannot be written.
    """
    folder = out or generated.resolve().with_name(f"{generated.resolve().stem}-evaluation")
    refuse_unwritable(folder)
    registry = registry or discover()
    evaluation, options = read_evaluation(overrides, registry)

    # Whatever can be refused is refused before anything is computed.
    test_set, train_set = _references(real, train, splits)
    made = open_samples(generated, "--generated")
    notes = refuse_other_kind(train_set, test_set) + refuse_other_kind(made, test_set)
    metrics, unusable = usable_metrics(registry, evaluation.metrics, options)
    report = build_report(registry, evaluation)

    # The windows.
    chosen = ((test_set, MOST_REAL), (made, count or MOST_REAL), (train_set, MOST_TRAIN))
    drawn = [one.draw(most, seed) for one, most in chosen]
    windows = _named_alike([found for found, _ in drawn])
    for one, found in ((made, windows[1]), (train_set, windows[2])):
        refuse_other_scale(one, found, windows[0])
    notes += unusable + [note for _, said in drawn for note in said] + _shared_subjects(windows)

    # The judgement.
    result = judged(windows, metrics, counting, seed=seed)
    against = {"data": train_set.about or None, "real": str(real), "reference_split": _split_of(real, splits[0])}
    result |= {"card": _card(made, windows, seed, against), "notes": [*_said(real, train, splits), *notes]}
    return write_results(folder, result, report, windows, title=generated.resolve().name, curves={})


def _references(real: Path, train: Path | None, splits: tuple[str, str]) -> tuple[Samples, Samples]:
    """The held-out and the training windows."""
    if train is None and real.exists() and holds_archives(real):
        raise SdError(f"--real '{real}' is one set without splits: name the training windows, too, with --train")
    test_set = open_samples(real, "--real", _split_of(real, splits[0]))
    if train is None:
        return test_set, open_samples(real, "--real", splits[1])
    return test_set, open_samples(train, "--train", _split_of(train, splits[1]))


def _split_of(path: Path, split: str) -> str | None:
    return None if holds_archives(path) else split


def _said(real: Path, train: Path | None, splits: tuple[str, str]) -> list[str]:
    """What was taken for what."""
    first = _split_of(real, splits[0])
    reference = f"'{real}'" if first is None else f"split {first!r} of '{real}'"
    where = train or real
    second = _split_of(where, splits[1])
    trained = f"'{where}'" if second is None else f"split {second!r} of '{where}'"
    return [f"the reference is {reference}; floor, surrogates and memorisation take {trained} for the training windows"]


def _named_alike(windows: Sequence[Windows]) -> Three:
    """All sets with the electrodes of the first, in its order and by its names."""
    real, made, train = windows
    return real, _reordered(made, real), _reordered(train, real)


def _reordered(windows: Windows, like: Windows) -> Windows:
    order = electrode_order(windows.info, like.info)
    same = order == list(range(len(order)))
    signal = windows.signal if same else np.ascontiguousarray(windows.signal[:, order])
    return replace(windows, signal=signal, info=replace(windows.info, channel_names=like.info.channel_names))


def _shared_subjects(windows: Three) -> list[str]:
    """People who are in the reference and in the training windows: they make the floor too low."""
    real, _, train = windows
    shared = real.people & train.people
    if not shared:
        return []
    who = "1 subject is" if len(shared) == 1 else f"{len(shared)} subjects are"
    return [f"{who} in the reference and in the training windows: the floor is lower than it should be"]


def _card(made: Samples, windows: Three, seed: int, more: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the generated windows, and what they were judged with; nothing is made up."""
    real, generated, train = windows
    known = {name: value for name, value in made.provenance.items() if value is not None}
    return {
        **known,
        **({"synthetic": True} if made.synthetic else {}),
        "generated": made.named.partition(" ")[2].strip("'"),
        "count": len(generated),
        **{name: value for name, value in more.items() if value is not None},
        "reference": fingerprint(real),
        "subjects": subjects_of({"train": train, "reference": real}),
        "judging_seed": seed,
    }
