"""Files that appear whole or not at all; a disk that is full or not ours is the user's to mend."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sd_core.errors import SdError


@contextmanager
def disk_errors(where: Path, remedy: str = "") -> Iterator[None]:
    """Within this context, what the operating system refuses is one sentence that ends with `remedy`, if any.

    Raises:
        SdError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        sentence = f"cannot write to {where}: {error.strerror or error}"
        raise SdError(f"{sentence}; {remedy}" if remedy else sentence) from error


@contextmanager
def whole_file(path: Path, *, several: bool = False) -> Iterator[Path]:
    """A scratch file that becomes `path` when the block ends well, and is removed when it does not.

    So `path` is whole or as it was, also while others read it. The scratch file lies beside it and ends like it,
    since writers of numpy and matplotlib look at endings.

    Args:
        path: To be written.
        several: Whether several processes may write it at once. Each then has a scratch file of its own, and one that
            is killed leaves it for good; else the next writer takes the scratch file over.
    """
    scratch = path.with_name(f".{uuid.uuid4().hex[:8] if several else 'unfinished'}.{path.name}")
    try:
        yield scratch
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
