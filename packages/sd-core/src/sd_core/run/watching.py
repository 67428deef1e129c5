"""Everything that watches a training: files, trackers, the terminal. Only the main process has any."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from sd_core.config import sections
from sd_core.config.read import Run
from sd_core.registry import Registry
from sd_core.run.console import Bar
from sd_core.run.logs import JsonLines

if TYPE_CHECKING:
    from sd_core.protocols import Tracker


@dataclass
class Stopwatch:
    """Time spent waiting for data, and in all, since the last reading."""

    waited: float = 0.0
    begun: float = field(default_factory=time.perf_counter)

    def read(self, samples: int) -> dict[str, float]:
        """samples_per_s and data_wait (share of the time), then start over."""
        elapsed = max(time.perf_counter() - self.begun, 1e-9)
        values = {"samples_per_s": samples / elapsed, "data_wait": self.waited / elapsed}
        self.waited, self.begun = 0.0, time.perf_counter()
        return values


@dataclass
class Watchers:
    """Writes each number everywhere it belongs."""

    trackers: list[Tracker]
    metrics: JsonLines
    timing: JsonLines
    bar: Bar

    def metric(self, values: Mapping[str, float], step: int) -> None:
        """Numbers that repeat to the bit when the run is repeated."""
        self.metrics.write({"step": step, **values})
        self._track("train", values, step)

    def speed(self, values: Mapping[str, float], step: int) -> None:
        """Numbers that depend on the machine and the hour."""
        self.timing.write({"step": step, "time": time.time(), **values})
        self._track("speed", values, step)

    def scores(self, values: Mapping[str, float], line: str, step: int) -> None:
        """Scores of drawn windows, by their names ("eval/kurtosis", "floor/kurtosis"), and in a line to be read."""
        self.metrics.write({"step": step, **values})
        for tracker in self.trackers:
            tracker.scalars(values, step)
        self.bar.scored(line)  # last: a terminal that is gone must not take the scores with it

    def _track(self, group: str, values: Mapping[str, float], step: int) -> None:
        for tracker in self.trackers:
            tracker.scalars({f"{group}/{name}": value for name, value in values.items()}, step)

    def images(self, name: str, pictures: Tensor, step: int) -> None:
        """Pictures (B, 3, H, W) in [0, 1]."""
        for tracker in self.trackers:
            tracker.images(name, pictures, step)

    def close(self) -> None:
        """Write out everything that is pending, each in turn even where one fails."""
        with ExitStack() as stack:
            stack.callback(self.metrics.close)
            stack.callback(self.timing.close)
            for tracker in self.trackers:
                stack.callback(tracker.close)


def build_trackers(run: Run, registry: Registry, output_dir: Path, resumed_at: int | None) -> list[Tracker]:
    """The trackers that `[logging]` asks for."""
    folder = tracker_folder(run.config.logging, output_dir)
    trackers: list[Tracker] = [
        registry.create("trackers", name, options, folder) for name, options in run.tracker_options.items()
    ]
    if resumed_at is not None:
        for tracker in trackers:
            getattr(tracker, "resume", lambda _step: None)(resumed_at)
    return trackers


def tracker_folder(logging: sections.Logging, output_dir: Path) -> Path:
    """log_dir/run_name, or the run's own tensorboard folder."""
    if logging.log_dir is None:
        return output_dir / "tensorboard"
    return Path(logging.log_dir) / (logging.run_name or output_dir.resolve().name)
