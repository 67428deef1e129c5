"""What a run writes down line by line: metrics that repeat to the bit, and timings that do not."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from sd_core.disk import disk_errors

_log = logging.getLogger(__name__)
_REMEDY = "free some space and continue with --resume-from-checkpoint latest"


def keys_behind(path: Path, offset: int) -> set[str]:
    """Keys of all whole lines of a file of JSON objects from a byte on; none where it cannot be read."""
    if not path.is_file():
        return set()
    with path.open("rb") as file:
        file.seek(offset)
        whole = file.read().rpartition(b"\n")[0]
    try:
        return {key for line in whole.splitlines() for key in json.loads(line)}
    except ValueError:  # what a power cut left of it
        return set()


class JsonLines:
    """A file of one JSON object per line, appended to and truncated on resume."""

    def __init__(self, path: Path, *, offset: int | None = None) -> None:
        """Open for appending; with `offset`, first cut the file back to that many bytes.

        What lies behind the offset was written after the checkpoint and will be written again.
        """
        self._path = path
        if offset and not path.exists():
            _log.warning("%s is gone: the history before this checkpoint will be missing", path)
        elif offset is not None and path.exists():
            if path.stat().st_size < offset:
                _log.warning("%s is shorter than the checkpoint says: its history has a hole", path)
            with path.open("r+b") as file:
                file.truncate(min(offset, path.stat().st_size))
        with disk_errors(path, _REMEDY):
            self._file = path.open("a", encoding="utf-8")

    @property
    def offset(self) -> int:
        """Bytes written so far, and safely on the disk: a checkpoint refers to them."""
        with disk_errors(self._path, _REMEDY):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def write(self, values: Mapping[str, float | int | str]) -> None:
        """Append one line and hand it to the operating system."""
        with disk_errors(self._path, _REMEDY):
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()

    def inherit(self, history: Path, size: int) -> None:
        """Begin with the first `size` bytes of another run's file, when this one is new."""
        if self.offset == 0 and history.is_file():
            with history.open(encoding="utf-8") as file, disk_errors(self._path, _REMEDY):
                self._file.write(file.read(size))
                self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
