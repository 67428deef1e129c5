"""How long a training still takes: its steps, and the evaluations between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Steps and evaluations cost on average what they have cost since this process began."""

    total: int
    """Steps of the run."""
    first: int
    """Steps that were done before."""
    evaluations: int = 0
    """To come when this process began."""
    now: Callable[[], float] = time.monotonic
    _seconds: float = 0.0
    """That evaluations took."""
    _evaluated: int = 0
    _evaluating: float | None = None
    """When the evaluation under way began."""
    _begun: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun = self.now()

    def evaluating(self) -> None:
        """An evaluation begins: until it ends, no time counts as that of steps."""
        self._evaluating = self.now()

    def evaluated(self) -> None:
        """The evaluation that was under way has ended."""
        assert self._evaluating is not None
        self._seconds += self.now() - self._evaluating
        self._evaluated += 1
        self._evaluating = None

    def left(self, done: int) -> float:
        """Seconds after `done` steps; how long evaluations take is not known before the first of them.

        One that is under way counts as still to come.
        """
        until = self.now() if self._evaluating is None else self._evaluating
        stepping = (until - self._begun - self._seconds) / max(1, done - self.first)
        evaluating = self._seconds / max(1, self._evaluated)
        return stepping * (self.total - done) + evaluating * max(0, self.evaluations - self._evaluated)


def in_words(seconds: float) -> str:
    """Such as "95 s", "12 min" or "3 h 05 min"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
