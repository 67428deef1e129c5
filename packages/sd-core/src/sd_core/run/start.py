"""Where a training starts: fresh, or from a checkpoint of the same run."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from sd_core.config.compare import change_notices, differences
from sd_core.config.read import Run, read_resolved
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.checkpoint import checkpoints, latest, verified
from sd_core.run.opening import OpenData
from sd_core.run.stored import PLUGINS, RUN, read_card
from sd_core.task import LabelSpace

_log = logging.getLogger(__name__)


def find_start(output_dir: Path, resume_from: str | None) -> Path | None:
    """The checkpoint to continue from, or None for a fresh start.

    "latest" in a directory without any checkpoint starts afresh, so that a job that is requeued
    before its first checkpoint needs no other command line.

    Raises:
        SdError: the directory holds a run and nothing was said about resuming, or no intact checkpoint.
    """
    if resume_from is None:
        if (output_dir / RUN).exists() or checkpoints(output_dir):
            raise SdError(
                f"{output_dir} already holds a run; continue it with --resume-from-checkpoint latest, "
                "or name another --output-dir"
            )
        return None
    if resume_from != "latest":
        return _given(output_dir, Path(resume_from))
    if not checkpoints(output_dir):
        _log.warning("%s holds no checkpoint yet: starting from the beginning", output_dir)
        return None
    return latest(output_dir)


def _given(output_dir: Path, checkpoint: Path) -> Path:
    """A named checkpoint.

    Raises:
        SdError: it is damaged, or the directory holds another run.
    """
    verified(checkpoint)
    if checkpoint.resolve().parent != output_dir.resolve() and ((output_dir / RUN).exists() or checkpoints(output_dir)):
        raise SdError(
            f"{output_dir} holds another run than {checkpoint}; name a new --output-dir for what goes on from it"
        )
    return checkpoint


def check_same_data(checkpoint: Path, data: OpenData) -> None:
    """Refuse data that are not those of the checkpoint, whatever their name.

    Raises:
        SdError: saying what differs.
    """
    before = read_card(checkpoint)
    if before.geometry != data.geometry:
        raise SdError(f"the checkpoint was trained on {before.geometry}, the dataset holds {data.geometry}")
    if changed := sorted(_roles(before.labels) ^ _roles(data.labels)):
        roles = ", ".join(dict.fromkeys(role for role, _ in changed))
        raise SdError(f"the dataset's labels ({roles}) are not those that {checkpoint} was trained on")
    if before.fingerprint != data.train.source.fingerprint:
        raise SdError(
            f"the train split is not the one that {checkpoint} was trained on (other content under the same name); "
            "train anew, or bring the old data back"
        )


def _roles(labels: LabelSpace) -> set[tuple[str, str]]:
    """Each role with its values, as text to compare."""
    found = {**labels.categories, **labels.numbers, **dict.fromkeys(labels.texts, "text")}
    return {(role, repr(values)) for role, values in found.items()}


def check_same_run(run: Run, checkpoint: Path, registry: Registry) -> None:
    """Refuse a config that would turn the checkpoint's run into another one.

    Raises:
        SdError: listing every key that must match and does not.
    """
    before = read_resolved(checkpoint / RUN, registry=registry)
    found = differences(before, run)
    if found:
        lines = "\n  ".join(found)
        raise SdError(f"the config differs from the run of {checkpoint} in keys that must match on resume:\n  {lines}")
    for notice in [*change_notices(before, run), *_other_versions(checkpoint, registry)]:
        _log.warning("%s", notice)


def _other_versions(checkpoint: Path, registry: Registry) -> list[str]:
    """A sentence where packages changed since the checkpoint: then nobody promises the same bits."""
    path = checkpoint / PLUGINS
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    now = registry.versions()
    changed = [
        f"{name} {before[name]} -> {now.get(name, 'not installed')}"
        for name in sorted(before)
        if now.get(name) != before[name]
    ]
    return [f"since {checkpoint.name} was written: {', '.join(changed)}"] if changed else []
