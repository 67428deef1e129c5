"""A disk that is full or not ours is the user's to mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sd_core.errors import SdError


@contextmanager
def disk_errors(where: Path, remedy: str) -> Iterator[None]:
    """Within this context, what the operating system refuses is one sentence that ends with `remedy`.

    Raises:
        SdError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise SdError(f"cannot write to {where}: {error.strerror or error}; {remedy}") from error
