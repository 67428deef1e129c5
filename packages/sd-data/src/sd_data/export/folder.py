"""A folder of files that appears whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sd_core.plugin import disk_errors


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A scratch folder that becomes `out` when the block ends well, and is removed when it does not.

    Raises:
        SdError: `out` cannot be written.
    """
    scratch = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    with disk_errors(out):
        try:
            scratch.mkdir(parents=True)
            yield scratch
            scratch.rename(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
