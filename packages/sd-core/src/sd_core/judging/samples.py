"""A set of windows that somebody names: known before it is read into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sd_core.task import SignalInfo, Windows

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """A set of windows."""

    named: str
    """What messages call it: "--generated 'samples'"."""
    info: SignalInfo
    provenance: Mapping[str, Any]
    """Where generated windows come from, where that is known."""
    synthetic: bool
    count: int
    read: Callable[[Rows], Windows]
    """The windows at these rows."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the dataset says of itself; see `about_of`."""

    @property
    def unit(self) -> str | None:
        """Of the numbers; None where nobody says it."""
        return self.info.unit or None

    def draw(self, most: int, seed: int) -> tuple[Windows, list[str]]:
        """At most so many windows, drawn at random, and a sentence where some are left out."""
        if self.count <= most:
            return self.read(np.arange(self.count)), []
        rows = np.sort(np.random.default_rng([seed, 3]).permutation(self.count)[:most])
        return self.read(rows), [f"{most} of the {self.count} windows of {self.named} were used"]


def about_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset says of itself: corpus, source, licence, whether it was generated; empty for foreign ones."""
    about = {"corpus": meta.get("corpus"), **meta.get("about", {})}
    return {name: value for name, value in about.items() if value is not None}
