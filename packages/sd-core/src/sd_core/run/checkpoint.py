"""Checkpoint folders: complete or absent, and known to be intact before they are used.

A checkpoint is written into a temporary sibling; `manifest.json` (size and sha256 of every file)
comes last; everything is synced to disk; then the folder is renamed to `checkpoint-N`. A crash at
any point leaves either no `checkpoint-N` or a whole one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from sd_core.disk import disk_errors
from sd_core.errors import SdError

MANIFEST = "manifest.json"
_FOLDER = re.compile(r"checkpoint-(\d+)")
_log = logging.getLogger(__name__)


def write_checkpoint(run_dir: Path, step: int, write: Callable[[Path], None]) -> Path:
    """Make `run_dir/checkpoint-STEP` with the files that `write(folder)` creates.

    Raises:
        SdError: the disk is full or not writable; the temporary folder is gone and older checkpoints stand.
    """
    final = run_dir / f"checkpoint-{step}"
    temporary, replaced = (run_dir / f".checkpoint-{step}.{state}" for state in ("partial", "replaced"))
    for leftover in run_dir.glob(".checkpoint-*"):
        shutil.rmtree(leftover)  # of a run that was killed while it wrote
    remedy = "older checkpoints are intact; free some space and continue with --resume-from-checkpoint latest"
    try:
        with disk_errors(final, remedy):
            temporary.mkdir(parents=True)
            write(temporary)
            _seal(temporary)
            if final.exists():
                final.rename(replaced)
            temporary.rename(final)
            _sync(run_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    return final


def _seal(folder: Path) -> None:
    entries = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(folder.iterdir())}
    for path in folder.iterdir():
        _sync(path)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    _sync(manifest)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None when every file is as the manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entries = {name: (entry["bytes"], entry["sha256"]) for name, entry in manifest.items()}
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (ValueError, AttributeError, TypeError, KeyError):
        return f"{MANIFEST} is not readable"
    if not entries:
        return f"{MANIFEST} names no files"
    for name, (size, digest) in entries.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size or _sha256(path) != digest:
            return f"{name} is not what was written"
    return None


def checkpoints(run_dir: Path) -> list[Path]:
    """The checkpoint folders of a run, oldest first, damaged ones included."""
    found = ((int(match[1]), path) for path in run_dir.glob("checkpoint-*") if (match := _FOLDER.fullmatch(path.name)))
    return [path for _, path in sorted(found)]


def step_of(checkpoint: Path) -> int:
    """The optimizer step that a checkpoint folder was written after."""
    match = _FOLDER.fullmatch(checkpoint.name)
    if match is None:
        raise ValueError(f"{checkpoint.name} is not named checkpoint-N")
    return int(match[1])


def latest(run_dir: Path) -> Path:
    """The newest checkpoint that verifies; damaged ones are named and skipped.

    Raises:
        SdError: there is none.
    """
    for folder in reversed(checkpoints(run_dir)):
        problem = damage(folder)
        if problem is None:
            return folder
        _log.warning("skipping %s: %s", folder, problem)
    raise SdError(f"no intact checkpoint in {run_dir}; train first, or name a checkpoint folder")


def verified(checkpoint: Path) -> Path:
    """The checkpoint itself, once it is known to be intact.

    Raises:
        SdError: it is missing or damaged.
    """
    if not checkpoint.is_dir():
        raise SdError(f"there is no checkpoint {checkpoint}")
    problem = damage(checkpoint)
    if problem is not None:
        raise SdError(
            f"checkpoint {checkpoint} is damaged: {problem}; resume from an older one, or from 'latest', which skips it"
        )
    return checkpoint


def newest(source: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest intact one of a run directory.

    Raises:
        SdError: the path does not exist or holds no intact checkpoint.
    """
    if (source / MANIFEST).is_file() or _FOLDER.fullmatch(source.name):
        return verified(source)
    if not source.is_dir():
        raise SdError(f"there is no run or checkpoint at {source}")
    return latest(source)


def set_aside_later(checkpoint: Path) -> None:
    """Rename the checkpoints of later steps: a run that goes on from here will write its own.

    Left in place they would pass for the newest of the run that goes on. Nothing is deleted.
    """
    for folder in checkpoints(checkpoint.parent):
        if step_of(folder) > step_of(checkpoint):
            aside = folder.with_name(f"{folder.name}.abandoned")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            _log.warning("%s is later than the checkpoint to continue from; it is now %s", folder.name, aside.name)


def rotate(newest_one: Path, keep: int | None) -> None:
    """Delete the oldest checkpoints beyond `keep`, once the one just written is known to be intact.

    Checkpoints of later steps, left from before a resume, are not counted and not touched.
    """
    if keep is None or damage(newest_one) is not None:
        return
    past = [folder for folder in checkpoints(newest_one.parent) if step_of(folder) <= step_of(newest_one)]
    for folder in past[:-keep]:
        shutil.rmtree(folder)
