"""Where a training starts: fresh, or from a checkpoint of the same run."""

from __future__ import annotations

import logging
from pathlib import Path

from sd_core.config.compare import change_notices, differences
from sd_core.config.read import Run, read_resolved
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.checkpoint import checkpoints, latest, verified
from sd_core.run.stored import RUN

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
        return verified(Path(resume_from))
    if not checkpoints(output_dir):
        _log.warning("%s holds no checkpoint yet: starting from the beginning", output_dir)
        return None
    return latest(output_dir)


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
    for notice in change_notices(before, run):
        _log.warning("%s", notice)
