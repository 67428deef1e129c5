"""What is taught to read labels from windows: the examples, the taught, and what they are asked."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from sd_core.plugin import SignalInfo, Windows

Array = NDArray[np.float64]

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
    def classes(self) -> tuple[str, ...]:
        """The different labels, sorted."""
        return tuple(sorted(set(self.labels)))

    def without(self, other: Examples) -> Examples:
        """Those that are not among the others."""
        there = set(other.keys)
        return self._chosen([place for place, key in enumerate(self.keys) if key not in there])

    def strangers_to(self, other: Windows) -> Examples:
        """Those of people who are not in `other`; all where either side names nobody."""
        known, people = set(persons(other)), persons(self.windows)
        if not known or not people:
            return self
        return self._chosen([place for place, row in enumerate(self.rows) if people[row] not in known])

    def _chosen(self, places: Sequence[int]) -> Examples:
        rows, labels, keys = ([values[place] for place in places] for values in (self.rows, self.labels, self.keys))
        return Examples(self.windows, tuple(rows), tuple(labels), tuple(keys))


class Taught(Protocol):
    """A reader after its lesson."""

    classes: tuple[str, ...]

    def __call__(self, windows: Windows, rows: Sequence[int]) -> Array:
        """Probabilities of the classes for these windows: (len(rows), classes)."""
        ...


class Reader(Protocol):
    """A classifier of windows that can be taught anew."""

    seeds: int
    """Lessons whose mean is taken; 1 for readers that need no chance."""

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
    known = [row for row, value in enumerate(values) if value is not None]
    keys = contents(windows) if known else ()
    rows = sorted(known, key=lambda row: (keys[row], str(values[row])))
    return Examples(windows, tuple(rows), tuple(str(values[row]) for row in rows), tuple(keys[row] for row in rows))


def persons(windows: Windows) -> list[tuple[Any, Any]]:
    """Who each window is of, as (corpus, subject); empty where it is not said."""
    subjects = windows.columns.get("subject", ())
    if not any(subject is not None for subject in subjects):
        return []
    return list(zip(windows.columns.get("corpus", [None] * len(subjects)), subjects, strict=True))


def accuracy(taught: Taught, examples: Examples) -> float:
    """Balanced accuracy: the mean over classes of the share that is recognised."""
    guesses = np.asarray(taught.classes)[taught(examples.windows, examples.rows).argmax(1)]
    return float(np.mean([(guesses[np.asarray(examples.labels) == name] == name).mean() for name in examples.classes]))


def area(taught: Taught, examples: Examples) -> float:
    """Area under the ROC curve; of more than two classes, the mean of each against the others."""
    probabilities, labels = taught(examples.windows, examples.rows), np.asarray(examples.labels)
    asked = [place for place, name in enumerate(taught.classes) if name in set(examples.labels)]
    return float(np.mean([roc_auc_score(labels == taught.classes[at], probabilities[:, at]) for at in asked] or [0.5]))


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
