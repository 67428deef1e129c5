"""Corpora that build themselves on first use: built once per machine, found again by their options."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from sd_core.errors import SdError

_THE_USERS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOTDIR}
)
"""What a disk says that is not ours, read-only or full, or where a file stands in the folder's place."""


def corpus_key(name: str, options: Mapping[str, Any], version: str) -> str:
    """Name of a built corpus in the cache: changes with its options and the version of its code."""
    content = json.dumps([name, dict(options), version], sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def cached_corpus(build: Callable[[Path], None], key: str) -> Path:
    """Folder of the corpus with this key, built if it is not there yet.

    Of several processes, one builds and the others wait for it. Where locks do not work (some network
    file systems) each builds its own copy and the first to finish wins.

    Args:
        build: Writes the corpus to a folder that does not exist yet.
        key: From `corpus_key`.

    Raises:
        SdError: the cache folder cannot be written, or its disk is full.
    """
    target = cache_root() / key
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{key}.lock")):
            if not target.is_dir():
                _build_beside(build, target)
    except OSError as error:
        if error.errno not in _THE_USERS:  # the corpus did not find something: a bug of its own
            raise
        raise SdError(
            f"cannot write to '{target.parent}' ({error.strerror}); point SIGNAL_DIFFUSION_CACHE at a folder of yours "
            "on a disk with room"
        ) from error
    return target


def cache_root() -> Path:
    """`$SIGNAL_DIFFUSION_CACHE/corpora`, else `~/.cache/signal-diffusion/corpora`."""
    root = os.environ.get("SIGNAL_DIFFUSION_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "signal-diffusion").expanduser() / "corpora"


def _build_beside(build: Callable[[Path], None], target: Path) -> None:
    """Build under another name and rename, so that `target` is whole or absent."""
    scratch = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        build(scratch)
        scratch.rename(target)
    except OSError:
        if not target.is_dir():  # otherwise another process was faster: its copy serves as well
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
