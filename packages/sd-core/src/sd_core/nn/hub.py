"""Why a pretrained model cannot be had, in words: the hub's own errors are about sockets and patterns."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
"""OWNER/NAME, or NAME alone."""


def why_absent(source: str, error: BaseException) -> str:
    """The reason as a clause, for a folder or hub id that somebody typed.

    Args:
        source: What was typed.
        error: What huggingface_hub, or a library that calls it, raised.
    """
    if not could_be_on_hub(source):
        return "there is no such folder"
    kinds = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    if "GatedRepoError" in kinds:
        return "the model is gated: accept its licence on the hub and log in with `hf auth login`"
    if "RepositoryNotFoundError" in kinds or "RevisionNotFoundError" in kinds:
        return "it is no folder here, and the hub has no such model or revision"
    if "LocalEntryNotFoundError" in kinds:
        return "it is no folder here, and the hub cannot be reached"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def could_be_on_hub(source: str) -> bool:
    """Whether a name may be a hub id: a folder with such a name, where there is one, goes first."""
    return Path(source).is_dir() or (not source.startswith(("/", ".", "~")) and bool(_HUB_ID.fullmatch(source)))


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and what it was raised from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
