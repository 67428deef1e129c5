"""What a person sees while a run goes on: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from sd_core.run.clock import Clock, in_words

if TYPE_CHECKING:
    from sd_core.judging.results import Counted


class Bar:
    """Progress of a training with loss, samples/s, data-wait share and time left."""

    def __init__(self, total: int, done: int, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal and not quiet
        self._quiet = quiet
        self._total, self._done = total, done
        self._clock = Clock(total, done)
        self._progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}"),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("train", total=total, completed=done, status="", left="")

    def expecting(self, evaluations: int) -> Bar:
        """Measure the time from now on; so many evaluations are to come."""
        self._clock = Clock(self._total, self._done, evaluations)
        return self

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, step: int) -> None:
        """The run has done `step` steps."""
        self._done = step
        self._progress.update(self._task, completed=step, left=self._left())

    def report(self, values: Mapping[str, float]) -> None:
        """Show the newest numbers."""
        status = describe(values)
        self._progress.update(self._task, status=status)
        if not self._live and not self._quiet:
            print(f"step {self._done}/{self._total}  {status}  {self._left()}", file=sys.stderr, flush=True)

    def scored(self, text: str) -> None:
        """The scores of this moment, in one line that stays."""
        self.say(f"step {self._done}/{self._total}  {text}")

    def evaluating(self) -> None:
        """An evaluation begins."""
        self._clock.evaluating()

    def evaluated(self) -> None:
        """It has ended; it counts in the time that is left."""
        self._clock.evaluated()

    def _left(self) -> str:
        return f"eta {in_words(self._clock.left(self._done))}"

    def say(self, text: str) -> None:
        """A sentence above the bar."""
        if not self._quiet:
            self._progress.console.print(text, highlight=False, soft_wrap=True, markup=False)


def describe(values: Mapping[str, float]) -> str:
    """The numbers of a step in one line."""
    known = {
        "loss": "loss {:.4f}",
        "val_loss": "held-out {:.4f}",
        "samples_per_s": "{:.1f} samples/s",
        "data_wait": "data wait {:.0%}",
    }
    return "  ".join(form.format(values[name]) for name, form in known.items() if name in values)


@contextmanager
def counting(what: str, total: int) -> Iterator[Counted]:
    """A bar for a known number of things, now and then a line where there is no terminal.

    Yields a function that is told how many more are done, and what is begun now.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(what, total)
        return
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=total)

        def count(more: int, about: str = "") -> None:
            progress.update(task, advance=more, description=f"{what}, now {about}" if about else what)

        yield count


_EVERY = 10.0
"""Seconds between lines."""


@dataclass
class Lines:
    """Counts on stderr: a line for each thing with a name as it begins, else one in ten seconds, and one at the end."""

    what: str
    total: int
    now: Callable[[], float] = time.monotonic
    _done: int = 0

    def __post_init__(self) -> None:
        self._begun = self._said = self.now()

    def __call__(self, more: int, about: str = "") -> None:
        """So many more are done, and the one of this name begins."""
        self._done += more
        now = self.now()
        if about or self._done >= self.total or now - self._said >= _EVERY:
            name = f", now {about}" if about else ""
            line = f"{self.what} {self._done}/{self.total}{name}, after {in_words(now - self._begun)}"
            print(line, file=sys.stderr, flush=True)
            self._said = now
