"""Whether a folder can be written, known before the work that is to fill it."""

from __future__ import annotations

import os
from pathlib import Path

from sd_core.errors import SdError


def refuse_unwritable(out: Path) -> None:
    """Check that files can be made in a folder, which need not exist yet; makes nothing.

    Args:
        out: The folder.

    Raises:
        SdError: a file stands in its place, or it is not ours to write.
    """
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise SdError(f"cannot write to '{out}': '{there}' is a file; name another folder with -o")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SdError(f"cannot write to '{out}': '{there}' is not yours to write; name another folder with -o")
