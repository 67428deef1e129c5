"""What is taught to read labels from windows: the examples, the taught, and what they are asked."""

from __future__ import annotations

import hashlib
import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from sd_core.plugin import SignalInfo, Windows

Array = NDArray[np.float64]

Identity = tuple[tuple[bytes, str], ...]

LABELS = ("label", "state", "gender", "health")
"""Columns with a few values each."""


@dataclass(frozen=True)
class Examples:
    """Windows that carry a label, in an order that is theirs and not the file's: windows are a set."""

    windows: Windows
    rows: tuple[int, ...]
    labels: tuple[str, ...]
    keys: tuple[bytes, ...]
    """Identity of each window by content."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def identity(self) -> Identity:
        """Equal for examples of the same content, from whatever file and in whatever order."""
        return tuple(zip(self.keys, self.labels, strict=True))

    @property
    def classes(self) -> tuple[str, ...]:
        """The different labels, sorted."""
        return tuple(sorted(set(self.labels)))

    def without(self, other: Examples) -> Examples:
        """Those that are not among the others."""
        there = set(other.keys)
        return self._chosen([place for place, key in enumerate(self.keys) if key not in there])

    def strangers_to(self, other: Windows) -> Examples:
        """Those of people who are not in `other`; a window of whom nothing is said is a stranger."""
        known, persons = other.people, self.windows.persons
        return self._chosen([place for place, row in enumerate(self.rows) if persons[row] not in known])

    def _chosen(self, places: Sequence[int]) -> Examples:
        return Examples(
            self.windows,
            tuple(self.rows[place] for place in places),
            tuple(self.labels[place] for place in places),
            tuple(self.keys[place] for place in places),
        )


class Taught(Protocol):
    """A reader after its lesson."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What it tells apart."""
        ...

    def __call__(self, windows: Windows, rows: Sequence[int]) -> Array:
        """Probabilities of the classes for these windows: (len(rows), classes)."""
        ...


class Reader(Protocol):
    """A classifier of windows that can be taught anew."""

    @property
    def seeds(self) -> int:
        """Lessons whose mean is taken; 1 for readers that need no chance."""
        ...

    def can_read(self, info: SignalInfo) -> bool:
        """Whether windows of this geometry are long enough for it."""
        ...

    def teach(self, sources: Sequence[Examples], unit: float, seed: int) -> Taught:
        """Learn from examples; every source weighs the same, and in it every class.

        Args:
            sources: At least one, each with two classes at least.
            unit: The standard deviation in uV that is usual for an electrode of the training windows.
            seed: Of whatever is random.
        """
        ...


def labelled(windows: Windows, column: str) -> Examples:
    """The windows whose label is known, sorted by content."""
    values: Sequence[Any] = windows.columns.get(column, ())
    known = [row for row, value in enumerate(values) if not unsaid(value)]
    keys = contents(windows) if known else ()
    rows = sorted(known, key=lambda row: (keys[row], str(values[row])))
    return Examples(windows, tuple(rows), tuple(str(values[row]) for row in rows), tuple(keys[row] for row in rows))


def unsaid(value: Any) -> bool:
    """Whether a label is missing: None, or the NaN that tables have for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class Answers:
    """What a reader says of examples, beside what is true."""

    rows: NDArray[np.int64]
    """Of the windows: (n,)."""
    labels: NDArray[np.str_]
    """What is true: (n,)."""
    probabilities: Array
    """(n, classes)."""
    classes: tuple[str, ...]

    def of(self, rows: NDArray[np.int64]) -> Answers:
        """Those about some of the windows."""
        kept = np.isin(self.rows, rows)
        return Answers(self.rows[kept], self.labels[kept], self.probabilities[kept], self.classes)

    @property
    def several(self) -> bool:
        """Whether there is more than one label to tell apart."""
        return len(set(self.labels)) > 1

    def accuracy(self) -> float:
        """Balanced: the mean over labels of the share that is recognised."""
        guesses = np.asarray(self.classes)[self.probabilities.argmax(1)]
        return float(np.mean([(guesses[self.labels == name] == name).mean() for name in set(self.labels)]))

    def area(self) -> float:
        """Area under the ROC curve; of more than two classes, the mean of each against the others."""
        there = [(place, name) for place, name in enumerate(self.classes) if name in set(self.labels)]
        areas = [roc_auc_score(self.labels == name, self.probabilities[:, place]) for place, name in there]
        return float(np.mean(areas)) if areas else 0.5


def read(taught: Taught, examples: Examples) -> Answers:
    """Ask a reader about examples."""
    said = taught(examples.windows, examples.rows) if len(examples) else np.zeros((0, len(taught.classes)))
    return Answers(
        np.asarray(examples.rows, dtype=np.int64), np.asarray(examples.labels, dtype=np.str_), said, taught.classes
    )


_CONTENTS: dict[int, tuple[bytes, ...]] = {}


def contents(windows: Windows) -> tuple[bytes, ...]:
    """A digest of every window; asked twice for the same object, computed once."""
    key = id(windows)
    if key not in _CONTENTS:
        _CONTENTS[key] = tuple(
            hashlib.blake2b(np.ascontiguousarray(signal).data, digest_size=16).digest() for signal in windows.signal
        )
        weakref.finalize(windows, _CONTENTS.pop, key, None)
    return _CONTENTS[key]
