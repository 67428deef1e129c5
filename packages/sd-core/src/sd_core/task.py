"""What flows between the parts: shapes, signals, labels, conditions. No torch at import time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


MICROVOLTS = "uV"
"""The unit of EEG."""


@dataclass(frozen=True)
class GridShape:
    """What a network sees of one example: (channels, height, width).

    Height is frequency or electrode, width is time.
    """

    channels: int
    height: int
    width: int
    groups: int = field(default=1, compare=False, repr=False)
    """Equal groups of consecutive channels that are a picture each, such as the electrodes of a stack."""

    def __iter__(self) -> Iterator[int]:
        return iter((self.channels, self.height, self.width))

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class SignalInfo:
    """The geometry of the windows of a dataset."""

    channel_names: tuple[str, ...]
    n_samples: int
    sfreq: float
    """Sampling rate in Hz."""
    reference: str = "unknown"
    unit: str = field(default=MICROVOLTS, compare=False)
    """Of the numbers, "" where the dataset does not say it. No part of what makes two geometries equal: checkpoints
    from before it was kept do not know it."""

    @property
    def n_channels(self) -> int:
        """Number of electrodes."""
        return len(self.channel_names)

    def __str__(self) -> str:
        return f"{self.n_channels} channels x {self.n_samples} samples at {self.sfreq:g} Hz"


@dataclass(frozen=True)
class Condition:
    """Widths that a conditioner emits; 0 means that it emits none of that kind."""

    vector: int = 0
    tokens: int = 0

    @property
    def needs(self) -> frozenset[str]:
        """The kinds of input a network must support: a subset of {"vector", "tokens"}."""
        return frozenset(kind for kind in ("vector", "tokens") if getattr(self, kind))


@dataclass(frozen=True)
class Task:
    """What an architecture is built for."""

    shape: GridShape
    condition: Condition = Condition()


@dataclass(frozen=True, kw_only=True)
class LabelSpace:
    """Which labels a dataset holds and what values they take.

    Keys are roles ("class", "gender", "health", "age", "caption"), not column names: the
    `[dataset]` table of the config says which column plays which role.
    """

    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role -> the values of the train split, in index order."""
    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Role -> (mean, standard deviation) over the train split, missing values left out."""
    texts: frozenset[str] = frozenset()
    """Roles that hold free text."""


Labels = Mapping[str, Any]
"""Labels of a batch by role: categories as int64 (B,) with -1 for missing, numbers as float32 (B,)
with NaN for missing, texts as a list of B strings."""


@dataclass(frozen=True)
class Conditioning:
    """What a conditioner hands to a network: vector (B, D) and/or tokens (B, N, D)."""

    vector: Tensor | None = None
    tokens: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows in memory: real or generated."""

    signal: NDArray[np.float32]
    """(n, channels, samples), in the unit that `info` says."""
    info: SignalInfo
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Label columns by their name in the dataset ("subject", "state", "gender", ...), n values each."""

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def persons(self) -> Sequence[tuple[Any, Any] | None]:
        """Who each window is of, as (corpus, subject); None where that is not said."""
        return persons_of(self.columns) or [None] * len(self)

    @property
    def people(self) -> frozenset[tuple[Any, Any]]:
        """Everybody whom these windows are said to be of."""
        return frozenset(person for person in self.persons if person is not None)


def persons_of(columns: Mapping[str, Sequence[Any]]) -> list[tuple[Any, Any] | None]:
    """Who each row of some columns is of, as (corpus, subject); empty where there is no column of subjects."""
    subjects = columns.get("subject", ())
    pairs = zip(columns.get("corpus", [None] * len(subjects)), subjects, strict=bool(subjects))
    return [None if subject is None else (corpus, subject) for corpus, subject in pairs]


def data_name(place: str) -> str:
    """Data by their name: where they lie on this machine belongs into no file or page that leaves it."""
    return PurePath(place).name if PurePath(place).is_absolute() else place


class WindowSource(Protocol):
    """Random access to the windows of one split."""

    info: SignalInfo

    def __len__(self) -> int: ...

    def signals(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """The windows at these rows, (len(rows), channels, samples), in the unit that `info` says."""
        ...


@dataclass(frozen=True)
class Score:
    """How to read one number of a metric."""

    title: str
    unit: str = ""
    ideal: float = 0.0
    """The value of a perfect model; smaller |value - ideal| is better."""
    detail: bool = False
    """Shown in the table, left out of the verdict: a part of another score, or context."""
    spatial: bool = False
    """Compares electrodes with each other: not defined where they are generated independently."""
    alarm: float | None = None
    """Makes the score a guard instead of a distance: a value beyond it, seen from `ideal`, is announced first."""
    alarm_means: str = ""
    """What has happened then, as a clause: "training windows are copied"."""
    column: str = ""
    """A label that the score reads: it is about models that were asked for it, and left out for others."""
    limits: tuple[float, float] = (-math.inf, math.inf)
    """Between which the score lies whatever the windows, such as 0 and 1 of an area; intervals end there."""
    undefined: str = ""
    """Why it may have no value: "held-out windows do not show the label"."""
    slack: float = 0.0
    """Differences of |value - ideal| up to this say nothing, whatever the interval: for a score whose ideal can be
    tied exactly, so that a floor of 0 would make any error infinitely worse than it."""
