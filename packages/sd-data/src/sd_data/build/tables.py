"""Tables of labels: comma, semicolon or tab separated, with names of columns that differ from ours."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from sd_core.plugin import SdError

Row = Mapping[str, str]


def read_table(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    """The names of the columns, and the rows that are not empty.

    Raises:
        SdError: it is not there, is no text, has no rows, or names a column twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SdError(
            f"'{path}' is missing: a csv with a row per recording that says whose it is; columns "
            "'file' and 'subject', and any of those that `sd-plugins files` lists"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SdError(f"'{path}' cannot be read as a table: {error}") from error
    lines = text.splitlines()
    head = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=max("\t;,", key=head.count), restval="")
    names = tuple(name.strip() for name in reader.fieldnames or ())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SdError(f"'{path}' has the column {', '.join(twice)} twice")
    reader.fieldnames = names
    cells: list[Row] = [{name: (row[name] or "").strip() for name in names} for row in reader]
    rows = [row for row in cells if any(row.values())]
    if not rows:
        raise SdError(f"'{path}' has no rows")
    return names, rows


def renamed(
    path: Path, names: Sequence[str], ours: Sequence[str], columns: Mapping[str, str], *, needed: Sequence[str] = ()
) -> dict[str, str]:
    """Our name of a column -> the table's, for those that are there; case does not count.

    Args:
        path: The table, for messages.
        names: Its columns.
        ours: Columns that we understand.
        columns: The option `columns`.
        needed: Columns that must be there.

    Raises:
        SdError: a column that the option names or that is needed is not there.
    """
    by_case = {name.lower(): name for name in names}
    found = {our: by_case[our] for our in ours if our in by_case and our not in columns}
    for our, theirs in columns.items():
        if theirs.lower() not in by_case:
            raise SdError(
                f"'{path}' has no column '{theirs}', which columns.{our} names; its columns are: {', '.join(names)}"
            )
        found[our] = by_case[theirs.lower()]
    missing = [our for our in needed if our not in found]
    if missing:
        raise SdError(
            f"'{path}' has no column {', '.join(missing)}; its columns are: {', '.join(names)}; say which it is, "
            f"as in --set 'columns={{{missing[0]}=\"{names[0]}\"}}'"
        )
    return found
