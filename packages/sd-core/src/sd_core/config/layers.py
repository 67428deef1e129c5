"""Shared settings < run file < SIGNAL_DIFFUSION_DATA < --set: the text of a run, before its types."""

from __future__ import annotations

import datetime
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as File
from typing import Any

from sd_core.config.problems import Origin, Problem, report
from sd_core.config.statements import Path, duplicates, scan, split_key
from sd_core.errors import SdError

DATA_VARIABLE = "SIGNAL_DIFFUSION_DATA"
"""Environment variable that overrides `[settings] data_root`."""
SHARED_NAME = "default.toml"
"""Shared settings beside the run file or one folder up."""
_SHARED, _RUN, _VARIABLE, _SET = range(4)


@dataclass
class Layers:
    """The merged tables of a run and where each value comes from."""

    file: File
    """The run file as the user named it."""
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def origin(self, path: Path) -> Origin:
        """Of the value at this path, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return Origin(str(self.file), rank=_RUN)

    def is_set(self, path: Path) -> bool:
        """Whether `--set` says the value at this path."""
        return self.origin(path).rank == _SET

    def add(self, values: dict[str, Any], origins: dict[Path, Origin]) -> None:
        """Put a layer on top: tables merge, anything else is replaced."""
        _merge(self.values, values)
        for path, origin in origins.items():
            self.origins[path] = origin
            for length in range(1, len(path)):
                self.origins.setdefault(path[:length], origin)


def read_layers(file: File, overrides: Sequence[str] = (), *, shared: bool = True) -> Layers:
    """Everything that is said about a run, merged.

    Args:
        file: the run file.
        overrides: "section.key=value", the arguments of `--set`.
        shared: whether to look for shared settings.

    Raises:
        SdError: a file is missing or not TOML, or an override is not of that form.
    """
    run = _read_file(file, _RUN)
    sets = [_read_override(text) for text in overrides]
    layers = Layers(file)
    if shared and (settings := _shared_file(file, run[0], sets)):
        layers.add(*_read_file(settings, _SHARED))
    layers.add(*run)
    if root := os.environ.get(DATA_VARIABLE):
        path = ("settings", "data_root")
        layers.add({"settings": {"data_root": root}}, {path: Origin(DATA_VARIABLE, path=path, rank=_VARIABLE)})
    for values, origins in sets:
        layers.add(values, origins)
    return layers


def read_overrides(overrides: Sequence[str]) -> Layers:
    """What `--set` says alone, where there is no run.

    Raises:
        SdError: an override is not "section.key=value".
    """
    layers = Layers(File())
    for text in overrides:
        layers.add(*_read_override(text))
    return layers


def _merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict):
            inner = below.get(key)
            below[key] = inner if isinstance(inner, dict) else {}
            _merge(below[key], value)
        else:
            below[key] = value


def _read_file(file: File, rank: int) -> tuple[dict[str, Any], dict[Path, Origin]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SdError(f"there is no config file {file}{_neighbours(file)}") from None
    except IsADirectoryError:
        raise SdError(f"{file} is a folder; name a config file in it{_neighbours(file / 'x.toml')}") from None
    except UnicodeDecodeError as error:
        raise SdError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    statements = scan(text)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        report(_syntax_problems(str(file), text, str(error)))
        raise  # unreachable: there is always a problem to report
    origins: dict[Path, Origin] = {}
    for statement in statements:
        origins.setdefault(statement.path, Origin(str(file), statement.line, rank=rank))
    return values, origins


def _neighbours(file: File) -> str:
    names = sorted(path.name for path in file.parent.glob("*.toml")) if file.parent.is_dir() else []
    if close := get_close_matches(file.name, names, n=1):
        return f"; did you mean {file.parent / close[0]}?"
    return f"; {file.parent} holds {', '.join(names)}" if names else ""


def _syntax_problems(source: str, text: str, message: str) -> list[Problem]:
    """What the parser says, or better: which tables and keys are written twice."""
    where = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    line = int(where[1]) if where and where[1] else text.count("\n") + 1
    twice = [duplicate for duplicate in duplicates(scan(text)) if duplicate.first <= line]
    if twice and twice[0].second <= line:
        return [
            Problem(
                Origin(source, duplicate.second),
                duplicate.path,
                f"is written twice, on lines {duplicate.first} and {duplicate.second}; merge them",
            )
            for duplicate in duplicates(scan(text))
        ]
    plain = message[: where.start()] if where else message
    return [Problem(Origin(source, line), (), f"is not valid TOML: {plain[:1].lower()}{plain[1:]}")]


def _shared_file(file: File, run: dict[str, Any], sets: list[tuple[dict[str, Any], dict[Path, Origin]]]) -> File | None:
    """The file that `[settings] config` names, or the default one where it exists."""
    named: Any = None
    for values in (run, *(values for values, _ in sets)):
        settings = values.get("settings")
        named = settings.get("config", named) if isinstance(settings, dict) else named
    if not isinstance(named, str):
        folder = file.parent
        beside = (folder / SHARED_NAME, folder.resolve().parent / SHARED_NAME)
        return next((_short(path) for path in beside if path.is_file() and not path.samefile(file)), None)
    tried = [File(named), *(folder / named for folder in file.resolve().parents)]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise SdError(
            f"[settings] config: there is no file '{named}' in the working directory, in the folder of {file}, "
            "or in one above it"
        )
    return _short(found)


def _short(file: File) -> File:
    """Relative to the working directory where that is shorter."""
    resolved, here = file.resolve(), File.cwd()
    return resolved.relative_to(here) if resolved.is_relative_to(here) else file


def _read_override(text: str) -> tuple[dict[str, Any], dict[Path, Origin]]:
    key, equals, value = text.partition("=")
    path = split_key(key.strip())
    if not equals or path is None or len(path) < 2:
        raise SdError(f"--set {text}: write it as section.key=value, such as training.seed=1")
    values: Any = _override_value(key.strip(), value.strip())
    for part in reversed(path):
        values = {part: values}
    return values, {path: Origin(f"--set {key.strip()}", path=path, rank=_SET)}


def _override_value(key: str, text: str) -> Any:
    """A TOML value; a bare word is text, so that `dataset.name=demo` needs no quotes in quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if text[:1] in ("[", "{", '"', "'"):
            raise SdError(f"--set {key}: {text} is not a TOML value") from error
        return text
    value = parsed["value"]
    bare = len(parsed) > 1 or isinstance(value, datetime.date | datetime.time)
    return text if bare else value
