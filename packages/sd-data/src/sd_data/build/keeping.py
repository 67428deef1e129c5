"""Finished recordings, kept beside a build under way: what a killed build resumes from."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from sd_core.plugin import SdError, whole_file
from sd_data.build.recordings import Outcome, Recording

Process = Callable[[Recording, float], Outcome]
"""(recording, overlap) -> its windows. Must be picklable where several workers are wanted."""
_WORTH_KEEPING_S = 60.0
"""Work of a refused build that took less is thrown away, so that a small mistake leaves nothing behind."""


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """The folder beside `out` where one build at a time works; gone when the build is done.

    A build that is killed leaves it, and the next one finds what was finished. So does one that is refused
    after a minute.

    Raises:
        SdError: another build of `out` is under way, or the folder cannot be made.
    """
    work, started = out.with_name(f".{out.name}.building"), time.monotonic()
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SdError(f"'{work}' cannot be made: {error.strerror}") from error
    lock = FileLock(work / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SdError(f"another build of '{out}' is under way: wait for it, or name another folder") from error
    try:
        _clear_halves(work)
        yield work
    except SdError as error:
        if time.monotonic() - started >= _WORTH_KEEPING_S:
            raise SdError(f"{error}; what was finished is kept in '{work}' and used by the next build") from error
        shutil.rmtree(work, ignore_errors=True)
        raise
    else:
        shutil.rmtree(work, ignore_errors=True)
    finally:
        lock.release()


def _clear_halves(work: Path) -> None:
    """What a killed build was writing; names of finished things begin with no dot."""
    for half in work.glob(".*"):
        shutil.rmtree(half) if half.is_dir() else half.unlink()


@dataclass(frozen=True)
class Keeping:
    """A process whose outcomes are kept; picklable where the process is.

    The windows of an outcome then stand in a file, and pass no pipe between workers.
    """

    process: Process
    folder: Path
    facts: str
    """All that the outcome depends on beside the recording: options, versions."""

    def __call__(self, recording: Recording, overlap: float) -> Outcome:
        """The outcome of a recording without its windows, which `windows_of` reads.

        Raises:
            SdError: the disk is full.
        """
        try:
            path = self.folder / f"{self._key(recording, overlap)}.npz"
            if path.is_file():
                return replace(_kept(recording, path), reused=True)
            outcome = self.process(recording, overlap)
            if outcome.problem is None:
                _keep(outcome, path)
                return replace(outcome, windows=[], kept=path)
        except OSError as error:
            raise SdError(f"{recording.name} cannot be kept in '{self.folder}': {error.strerror}") from error
        return outcome

    def _key(self, recording: Recording, overlap: float) -> str:
        assert recording.path is not None
        # Some formats are folders.
        inside = sorted(recording.path.rglob("*")) if recording.path.is_dir() else [recording.path]
        files = (path for path in (*inside, *recording.beside) if path.is_file())
        contents = [(path.name, _content(path, path.stat().st_mtime_ns)) for path in files]
        facts = [contents, recording.span, overlap, self.facts]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def windows_of(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """The windows of an outcome, wherever they are."""
    yield from outcome.windows
    if outcome.kept is not None:
        with np.load(outcome.kept, allow_pickle=False) as kept:
            for signal, start in zip(kept["signal"], kept["start_s"], strict=True):
                yield {"signal": signal, "start_s": float(start)}


_ABOUT = ("rejected", "interpolated", "unused")
"""What is kept of an outcome beside its windows."""


def _keep(outcome: Outcome, path: Path) -> None:
    about = json.dumps({name: getattr(outcome, name) for name in _ABOUT})
    with whole_file(path, several=True) as scratch:
        np.savez(
            scratch,
            signal=np.array([window["signal"] for window in outcome.windows], dtype=np.float32),
            start_s=np.array([window["start_s"] for window in outcome.windows], dtype=np.float64),
            about=np.array(about),
        )


def _kept(recording: Recording, path: Path) -> Outcome:
    with np.load(path, allow_pickle=False) as kept:
        about = json.loads(str(kept["about"]))
    return Outcome(recording, [], about["rejected"], tuple(about["interpolated"]), tuple(about["unused"]), kept=path)


@lru_cache(maxsize=64)
def _content(path: Path, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
