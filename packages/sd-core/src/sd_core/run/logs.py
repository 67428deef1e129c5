"""What a run writes down line by line: metrics that repeat to the bit, and timings that do not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


class JsonLines:
    """A file of one JSON object per line, appended to and truncated on resume."""

    def __init__(self, path: Path, *, offset: int | None = None) -> None:
        """Open for appending; with `offset`, first cut the file back to that many bytes.

        What lies behind the offset was written after the checkpoint and will be written again.
        """
        if offset is not None and path.exists():
            with path.open("r+b") as file:
                file.truncate(min(offset, path.stat().st_size))
        self._file = path.open("a", encoding="utf-8")

    @property
    def offset(self) -> int:
        """Bytes written so far, flushed to the file."""
        self._file.flush()
        return self._file.tell()

    def write(self, values: Mapping[str, float | int | str]) -> None:
        """Append one line and hand it to the operating system."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
