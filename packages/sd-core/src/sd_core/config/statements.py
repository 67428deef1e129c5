"""Where each table and key of a TOML file is written: tomllib says what a file holds, not on which line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

Path = tuple[str, ...]
"""Keys from the top of the file down: ("model", "extras", "num_layers")."""

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_BLANK = re.compile(r"(?:\s|#[^\n]*)+")
_HEADER = re.compile(rf"(?P<brackets>\[\[?)[ \t]*(?P<key>{_KEY})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"(?P<key>{_KEY})[ \t]*=")
_REST_OF_LINE = re.compile(r"[^\n]*")
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})'''
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|(?P<open>[\[{])|(?P<close>[\]}])|(?P<newline>\n)|.""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Statement:
    """A table header or a key with its value."""

    path: Path
    """Of the table, or of the key with its table's in front."""
    line: int
    """Counted from 1."""
    kind: str
    """"table", "array" (of tables, in double brackets) or "value"."""
    table: Path = ()
    """The header that a value stands under."""


@dataclass(frozen=True)
class Duplicate:
    """A table or key that is written twice."""

    path: Path
    first: int
    """Line of the first statement."""
    second: int
    """Line of the second statement."""


def split_key(text: str) -> Path | None:
    """The parts of a dotted key, quoted ones unquoted; None when it is not a key."""
    if not re.fullmatch(_KEY, text):
        return None
    return tuple(_unquoted(part) for part in re.findall(_PART, text))


def scan(text: str) -> list[Statement]:
    """Every statement of a TOML text, in order; what is malformed is skipped."""
    return list(_statements(text))


def _statements(text: str) -> Iterator[Statement]:
    table: Path = ()
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        line = text.count("\n", 0, at) + 1
        if header := _HEADER.match(text, at):
            table = _parts(header["key"])
            yield Statement(table, line, "table" if header["brackets"] == "[" else "array")
            at = _end_of_line(text, header.end())
        elif assignment := _ASSIGNMENT.match(text, at):
            yield Statement(table + _parts(assignment["key"]), line, "value", table)
            at = _end_of_value(text, assignment.end())
        else:
            at = _end_of_line(text, at)


def _parts(key: str) -> Path:
    return tuple(_unquoted(part) for part in re.findall(_PART, key))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return str(tomllib.loads(f"part = {part}")["part"])
    except tomllib.TOMLDecodeError:  # a wrong escape, which the parser of the whole file reports
        return part


def _end_of_line(text: str, at: int) -> int:
    rest = _REST_OF_LINE.match(text, at)
    assert rest is not None
    return rest.end()


def _end_of_value(text: str, at: int) -> int:
    """Behind the value at `at`: the first line break outside strings and brackets."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["newline"] and depth <= 0:
            return token.start()
    return len(text)


def duplicates(statements: list[Statement]) -> list[Duplicate]:
    """Tables and keys that TOML does not allow to be written again, each with both lines."""
    seen: dict[Path, Statement] = {}
    dotted: dict[Path, Statement] = {}
    found: list[Duplicate] = []
    inside_a_value: Path | None = None
    for statement in statements:
        if statement.kind == "value" and statement.table == inside_a_value:
            continue  # its table is the mistake
        inside_a_value = None
        clash = _clash(statement, seen, dotted)
        if clash is not None:
            path, earlier = clash
            found.append(Duplicate(path, earlier.line, statement.line))
            if earlier.kind == "value" and statement.kind != "value":
                inside_a_value = statement.path
            continue
        if statement.kind == "array":  # an element starts anew
            for below in [path for path in seen | dotted if path[: len(statement.path)] == statement.path]:
                seen.pop(below, None)
                dotted.pop(below, None)
        seen[statement.path] = statement
        if statement.kind == "value":
            for length in range(len(statement.table) + 1, len(statement.path)):
                dotted.setdefault(statement.path[:length], statement)
    return found


def _clash(
    statement: Statement, seen: dict[Path, Statement], dotted: dict[Path, Statement]
) -> tuple[Path, Statement] | None:
    """The path written before, and where, when the statement may not follow."""
    path = statement.path
    earlier = seen.get(path) or dotted.get(path)
    if earlier is not None and not (statement.kind == earlier.kind == "array"):
        return path, earlier
    for length in range(1, len(path)):
        above = seen.get(path[:length])
        into_a_table = statement.kind == "value" and length > len(statement.table)
        if above is not None and (above.kind == "value" or into_a_table):
            return path[:length], above
    return None
