"""Labels as labs write them, and as the windows hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sd_core.plugin import SdError
from sd_core.windows.labels import category
from sd_data.build.recordings import Recording

UNKNOWN = "unknown"
"""The state of a recording about which the corpus says nothing."""
_MISSING = frozenset({"", "n/a", "na", "nan", "none", UNKNOWN})


def said(text: str | None) -> str | None:
    """A cell of a table; None where it says nothing."""
    bare = (text or "").strip()
    return None if bare.lower() in _MISSING else bare


def mapped(column: str, text: str | None, values: Mapping[str, Mapping[str, str]], where: str) -> str | None:
    """A cell as the windows hold it.

    Args:
        column: "gender", "health", "state", ...
        text: The cell.
        values: Column -> what a cell says -> what it becomes; "" for missing. Columns without a map are taken
            as they are, genders as F or M where they are one of the usual words.
        where: The table and the row, for the message.

    Raises:
        SdError: the column has a map without this cell.
    """
    bare = said(text)
    if column in values and bare is not None:
        chosen = values[column]
        if bare not in chosen:
            raise SdError(
                f"{where} has the {column} '{bare}', which values.{column} does not name; it names: {', '.join(chosen)}"
            )
        bare = said(chosen[bare])
    return category(column, bare)


def gender(column_value: str | None, where: str) -> str | None:
    """F, M or None.

    Raises:
        SdError: it is something else.
    """
    if column_value not in (None, "F", "M"):
        raise SdError(
            f"{where} has the gender '{column_value}', which is neither F nor M: say what it means, as in "
            f'--set \'values={{gender={{"{column_value}"="F"}}}}\', with "" for missing'
        )
    return column_value


def years(text: str | None, where: str) -> float | None:
    """An age; a closed upper range such as "89+" counts as its edge.

    Raises:
        SdError: it is not a number.
    """
    bare = said(text)
    if bare is None:
        return None
    try:
        number = float(bare.removesuffix("+"))
    except ValueError as error:
        raise SdError(f"{where} has the age '{bare}', which is not a number") from error
    return number if math.isfinite(number) else None


def refuse_contradictions(recordings: Sequence[Recording]) -> None:
    """Check that all recordings of a person agree about them.

    The gender must be one in all; the health and age in a session.

    Raises:
        SdError: they do not; names the person, the values and the recordings.
    """
    seen: dict[tuple[str, ...], tuple[str | float, str]] = {}
    for recording in recordings:
        person = (recording.corpus, recording.subject)
        for column, key in (
            ("gender", person),
            ("health", (*person, recording.session)),
            ("age", (*person, recording.session)),
        ):
            value = getattr(recording, column)
            if value is None:
                continue
            before, name = seen.setdefault((column, *key), (value, recording.name))
            if before != value:
                raise SdError(
                    f"the labels of subject '{recording.subject}' contradict each other: {column} is {before} for "
                    f"{name} and {value} for {recording.name}; correct one of them"
                )
