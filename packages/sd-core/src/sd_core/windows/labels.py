"""Labels of windows as numbers a conditioner can take."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from sd_core.errors import SdError
from sd_core.task import Labels, LabelSpace
from sd_core.templates import Template, Value
from sd_core.windows.rows import Rows

Sources = Mapping[str, str | Template]
"""Role ("class", "gender", "health", "age", "caption") -> the column that holds it, or the template that makes it
of other roles. A template's fields are roles too, under their own names."""

_NUMBERS = frozenset({"age"})
_TEXTS = frozenset({"caption"})
_GENDERS = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_MISSING = frozenset({"", "n/a", "na", "nan", "none", "unknown"})
_log = logging.getLogger(__name__)


def label_space(
    train: Rows, roles: Sources, num_classes: int | None = None, required: Collection[str] = ()
) -> LabelSpace:
    """The labels that the train split holds.

    Args:
        train: The train split.
        roles: Where each role comes from. One whose column is absent, or without any value, is left out.
        num_classes: Size of the class table; a smaller set of classes is filled up with unused entries.
        required: Roles that must be there.

    Raises:
        SdError: a required role is absent, there are more classes than `num_classes`, or an age is not a number.
    """
    categories: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, tuple[float, float]] = {}
    texts: set[str] = set()
    for role, column in roles.items():
        if isinstance(column, str) and column not in train.column_names and role not in required:
            continue
        values = [value for value in _values(train, role, roles) if value is not None]
        if role in _TEXTS and values:
            texts.add(role)
        elif role in _numbers(roles) and values:
            numbers[role] = (float(np.mean(values)), float(np.std(values)) or 1.0)
        elif values and isinstance(column, str):
            limit = num_classes if role == "class" else None
            categories[role] = _categories(train, column, values, limit)
        elif role in required:
            raise SdError(f"the column '{column}', needed for '{role}', holds no value")
    return LabelSpace(categories=categories, numbers=numbers, texts=frozenset(texts))


class LabelTable:
    """All labels of a split, ready to be taken by row.

    Args:
        source: A split.
        space: Which labels, and the index of each value; values it does not hold become missing, said once.
        roles: Where each role comes from.
        reads: Roles that somebody reads: of others nothing is said. None for all.
    """

    def __init__(
        self, source: Rows, space: LabelSpace, roles: Sources, *, reads: Collection[str] | None = None
    ) -> None:
        self._arrays: dict[str, Any] = {}
        for role in (*space.categories, *space.numbers, *sorted(space.texts)):
            values = _values(source, role, roles)
            if role in space.texts:
                self._arrays[role] = [value or "" for value in values]
            elif role in space.numbers:
                self._arrays[role] = np.array([math.nan if value is None else value for value in values], np.float32)
            else:
                self._arrays[role] = _indices(
                    values, space.categories[role], role, aloud=reads is None or role in reads
                )

    def texts(self, role: str) -> set[str]:
        """The different texts of a role; none where the split does not have it."""
        return {text for text in self._arrays.get(role, ()) if isinstance(text, str)}

    def rows(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> Labels:
        """Labels at these rows: int64 with -1 for missing, float32 with NaN, strings with "" for missing."""
        index = np.asarray(rows, dtype=np.int64)
        return {
            role: array[index] if isinstance(array, np.ndarray) else [array[row] for row in index.tolist()]
            for role, array in self._arrays.items()
        }


def label_arrays(source: Rows, space: LabelSpace, roles: Sources, rows: Sequence[int]) -> Labels:
    """Labels at some rows, for one look; batches take theirs from a `LabelTable`."""
    return LabelTable(source, space, roles).rows(rows)


def _numbers(roles: Sources) -> frozenset[str]:
    """Roles that hold numbers: ages, and what a template formats as one."""
    return _NUMBERS.union(*(source.numbers for source in roles.values() if isinstance(source, Template)))


def _values(source: Rows, role: str, roles: Sources) -> list[Any]:
    """Values of a role, None where missing: numbers as float, categories and texts as string."""
    column = roles[role]
    if isinstance(column, Template):
        return _sentences(source, column, roles)
    values = source.column(column)
    if role in _numbers(roles):
        return [_number(value, column) for value in values]
    if role in _TEXTS:
        return [None if value is None else str(value) for value in values]
    return [category(role, value) for value in values]


def _sentences(source: Rows, template: Template, roles: Sources) -> list[str | None]:
    """The template's sentence for every row, None where it has nothing to say."""
    columns = [_values(source, field, roles) for field in template.fields]
    said: dict[tuple[Value, ...], str | None] = {}  # windows of one recording are alike
    for values in zip(*columns, strict=True):
        if values not in said:
            said[values] = template.render(dict(zip(template.fields, values, strict=True))) or None
    return [said[values] for values in zip(*columns, strict=True)]


def _number(value: Any, column: str) -> float | None:
    if value is None or (isinstance(value, str) and value.strip().lower() in _MISSING):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise SdError(f"the column '{column}' holds {value!r}, which is not a number") from error
    return number if math.isfinite(number) else None


def category(role: str, value: Any) -> str | None:
    """A value of a categorical role as it counts: trimmed, genders as F or M, None for words that say nothing."""
    text = _category(value)
    return _GENDERS.get(text.lower(), text) if text and role == "gender" else text


def _category(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():  # integers with gaps come back from tables as floats
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in _MISSING else text


def _categories(train: Rows, column: str, values: Iterable[str], limit: int | None) -> tuple[str, ...]:
    """Values in index order: as declared, by number, or by name; filled up to `limit`."""
    present = set(values)
    declared = train.classes(column)
    names = list(declared) if declared and present <= set(declared) else _ordered(present, limit)
    if limit is None:
        return tuple(names)
    if len(names) > limit:
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise SdError(
            f"the column '{column}' holds {len(names)} classes ({listed}), "
            f"but dataset.num_classes is {limit}: set it to {len(names)}"
        )
    return (*names, *(f"unused {index}" for index in range(len(names), limit)))


def _ordered(present: set[str], limit: int | None) -> list[str]:
    """Names sorted; whole numbers by size, and as their own index where the table has room for that."""
    if not all(value.isdecimal() for value in present):
        return sorted(present)
    numbers = sorted(int(value) for value in present)
    if limit is not None and numbers[-1] < limit:
        return [str(number) for number in range(limit)]
    return [str(number) for number in numbers]


def _indices(
    values: list[Any], names: tuple[str, ...], role: str, *, aloud: bool
) -> np.ndarray[Any, np.dtype[np.int64]]:
    index = {name: place for place, name in enumerate(names)}
    unseen = sorted({value for value in values if value is not None and value not in index})
    if unseen and aloud:
        _say_once(f"values of '{role}' that the train split does not have count as missing: {', '.join(unseen[:8])}")
    return np.array([index.get(value, -1) for value in values], dtype=np.int64)


@cache
def _say_once(sentence: str) -> None:
    _log.warning(sentence)
