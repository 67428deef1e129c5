"""What may be asked of a trained model, and how a typed value becomes a label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sd_core.errors import SdError
from sd_core.registry import nearest
from sd_core.run.captions import CAPTION
from sd_core.task import LabelSpace
from sd_core.templates import Template
from sd_core.windows.labels import category

FLAGS = ("class", "caption", "gender", "health", "age")
"""Roles that `sd-sample` has a flag for; others are asked for in a table of conditions."""
ROLES: Mapping[str, str] = {"label": "class"}
"""Column of a table of conditions -> role, where they differ."""


class TableRow(dict[str, str]):
    """Labels of a window that stand in a table: messages name the place instead of a flag."""

    where: str
    """Such as "line 3 of 'wanted.csv'"."""

    def __init__(self, labels: Mapping[str, str], where: str) -> None:
        super().__init__(labels)
        self.where = where

    def asked_by(self, name: str) -> str:
        """The place of a label: "line 3 of 'wanted.csv', column 'age'"."""
        return f"{self.where}, column '{name}'"


@dataclass(frozen=True)
class Vocabulary:
    """The labels that a model understands.

    Args:
        space: The labels of its train split.
        reads: The roles that its conditioner reads.
        made_by: What makes captions of other labels, where there is one.
        conditioning: Name of the conditioner, for messages.
        unseen: Values that no train window has, by role: what was never learned cannot be drawn.
    """

    space: LabelSpace
    reads: frozenset[str]
    made_by: Template | None
    conditioning: str
    unseen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def template(self) -> Template | None:
        """What makes the captions that are read, where something does."""
        return self.made_by if CAPTION in self.reads else None

    @property
    def roles(self) -> tuple[str, ...]:
        """Every label that may be asked for."""
        known = {*self.space.categories, *self.space.numbers, *self.space.texts}
        fields = self.template.fields if self.template else ()
        return tuple(sorted({*self.reads, *known.intersection(fields)}))  # a column may be empty throughout

    def nothing(self) -> dict[str, Any]:
        """A missing value of every label."""
        return {role: self._missing(role) for role in self.roles}

    def read(self, row: Mapping[str, str]) -> dict[str, Any]:
        """Typed labels as a conditioner takes them: an index, a number or a text by role.

        Raises:
            SdError: the model was not trained on a label, or does not know its value.
        """
        by = _asked_by if not isinstance(row, TableRow) else row.asked_by
        found: dict[str, Any] = {}
        for name, text in row.items():
            role = self._role(name)
            if role not in self.roles:
                raise SdError(self._untrained(role, by(name if isinstance(row, TableRow) else role)))
            found[role] = self._value(role, text, by(name if isinstance(row, TableRow) else role))
        if self.template is not None and CAPTION in found and len(found) > 1:
            others = ", ".join(
                role if isinstance(row, TableRow) else _asked_by(role) for role in found if role != CAPTION
            )
            caption = by(CAPTION)
            raise SdError(f"{caption} is the whole sentence: leave out {others}, or leave out the caption")
        return found

    def left_open(self, rows: Sequence[Mapping[str, str]]) -> list[str]:
        """The labels that not every row names: what train windows give. A template's sentence follows from the rest."""
        said = [{self._role(name) for name in row} for row in rows] or [set()]
        if self.template is None:
            return [role for role in self.roles if any(role not in names for names in said)]
        fields = [role for role in self.roles if role != CAPTION]
        return [role for role in fields if any(role not in names and CAPTION not in names for names in said)]

    def _role(self, name: str) -> str:
        return name if name in self.roles else ROLES.get(name, name)

    def _untrained(self, role: str, by: str) -> str:
        if not self.reads:
            return (
                f"{by} has nothing to act on: this run was trained with conditioning = "
                f'"{self.conditioning}", so it draws windows of every kind; leave it out'
            )
        guess = nearest(role, self.roles)
        hint = f"; did you mean {guess!r}?" if guess and role not in FLAGS else ""
        return (
            f'{by}: this run was trained with conditioning = "{self.conditioning}", which is not told '
            f"'{role}'{hint}; it takes {', '.join(map(_asked_by, self.roles))}"
        )

    def _value(self, role: str, text: str, by: str) -> Any:
        if role in self.space.texts:
            return text
        if (cleaned := category(role, text)) is None:
            return self._missing(role)
        if role in self.space.numbers:
            return _number(by, cleaned)
        names = self.space.categories[role]
        index, unseen = _index(role, cleaned, names, by), self.unseen.get(role, ())
        if names[index] in unseen:
            learned = tuple(name for name in names if name not in unseen)
            raise SdError(
                f"{by}: no train window of this run has the {role} {names[index]!r}, so it was never learned; "
                f"learned were {_listed(learned)}"
            )
        return index

    def _missing(self, role: str) -> Any:
        kinds: tuple[tuple[Any, Any], ...] = ((self.space.texts, ""), (self.space.numbers, math.nan))
        return next((value for holds, value in kinds if role in holds), -1)


def _number(by: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SdError(f"{by}: {text!r} is not a number")
    return number


def _index(role: str, text: str, names: tuple[str, ...], by: str) -> int:
    """Of a value by its name, whatever its case, or of a class by its number."""
    for same in (lambda name: name == text, lambda name: name.lower() == text.lower()):
        if index := _first(names, same):
            return index - 1
    if role == "class" and text.lstrip("-").isdecimal():
        if 0 <= int(text) < len(names):
            return _used(int(text), names, by)
        raise SdError(f"{by} {text} is out of range: the classes are 0 to {len(names) - 1} ({_listed(names)})")
    guess = nearest(text, names)
    hint = f"did you mean {guess!r}? " if guess else ""
    raise SdError(f"{by}: no {role} {text!r}; {hint}this run knows {_listed(names)}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _first(names: tuple[str, ...], same: Callable[[str], bool]) -> int:
    """One more than the place of the first name of the kind; 0 where there is none."""
    return next((place for place, name in enumerate(names, 1) if same(name)), 0)


def _used(index: int, names: tuple[str, ...], by: str) -> int:
    if names[index] == f"unused {index}":
        raise SdError(f"{by} {index} was never trained: dataset.num_classes is larger than the number of classes")
    return index


def _asked_by(role: str) -> str:
    return f"--{role}" if role in FLAGS else f"the column '{role}' of --conditions"
