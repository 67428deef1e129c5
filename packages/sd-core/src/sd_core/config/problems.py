"""What is wrong in a config, and where: one line per problem."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sd_core.config.statements import Path
from sd_core.errors import SdError


@dataclass(frozen=True)
class Origin:
    """Where a value comes from."""

    source: str
    """The file as the user named it, "--set model.name", or the name of a variable."""
    line: int | None = None
    """Only in files."""
    path: Path | None = None
    """What `--set` or the variable says already: not said again behind it."""
    rank: int = 0
    """A higher one wins."""

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing to mend."""

    origin: Origin
    path: Path
    what: str
    """The end of a sentence that begins with the key."""
    is_table: bool = False
    """What is wrong is the table, "[model.lora]", not a key of the one above."""

    def __str__(self) -> str:
        if self.path == self.origin.path or not self.path:
            return f"{self.origin}: {self.what}"
        return f"{self.origin}: {table(self.path) if self.is_table else written(self.path)}: {self.what}"


def report(problems: Iterable[Problem]) -> None:
    """Raise what was found, in the order of the files and their lines; one problem per key.

    Raises:
        SdError: there is at least one problem; a line each.
    """
    first: dict[Path, Problem] = {}
    for problem in problems:
        first.setdefault(problem.path, problem)
    found = sorted(first.values(), key=lambda problem: (problem.origin.rank, problem.origin.line or 0))
    if found:
        raise SdError("\n".join(map(str, found)))


def written(path: Path) -> str:
    """A key as a message writes it: "[model.extras] num_layers"; a table of the top level: "[model]"."""
    return f"{table(path[:-1])} {quoted(path[-1])}" if len(path) > 1 else table(path)


def table(path: Path) -> str:
    """A table's header: "[model.extras]"."""
    return f"[{'.'.join(map(quoted, path))}]"


def quoted(key: str) -> str:
    """A key as TOML writes it."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return key
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
