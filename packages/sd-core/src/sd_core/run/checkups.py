"""Scores of a few drawn windows in the middle of a training."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property

from sd_core.config.read import Run
from sd_core.judging.gather import in_memory
from sd_core.judging.judge import floor_for
from sd_core.judging.quick import described, floor_of, in_a_line, quick_metrics, quick_scores
from sd_core.protocols import Metric
from sd_core.registry import Registry
from sd_core.run.asked import Asked, ask
from sd_core.run.captions import template_of
from sd_core.run.drawing import Drawer
from sd_core.run.harmless import Harmless
from sd_core.run.stored import TaskCard
from sd_core.task import Windows
from sd_core.windows.reading import WindowSet

_log = logging.getLogger(__name__)
MOST = 1024
"""Real windows at most, of each split."""


@dataclass(frozen=True)
class Found:
    """Headline scores of drawn windows."""

    values: dict[str, float]
    floor: dict[str, float]
    """Of training windows, for scores in `values` only."""
    line: str
    """What a person looks at first."""

    @property
    def flat(self) -> dict[str, float]:
        """As they are logged: "eval/NAME" and "floor/NAME"."""
        groups = {"eval": self.values, "floor": self.floor}
        return {f"{group}/{key}": value for group, found in groups.items() for key, value in found.items()}


@dataclass
class Checkups:
    """Draws the same windows each time (same noise, same labels) and scores them against the validation split.

    Nothing that goes wrong here ends the training: it is said once, and the score is missing.
    """

    run: Run
    registry: Registry
    drawer: Drawer
    card: TaskCard
    held_out: WindowSet
    train: WindowSet
    harmless: Harmless
    _floors: dict[str, dict[str, float]] = field(default_factory=dict)
    """By metric; they stay the same."""

    def begin(self) -> None:
        """Build the metrics now, so that what is missing is said before the first hours of training."""
        self.harmless.attempt("judging drawn windows", lambda: self._metrics)

    def scores(self) -> Found | None:
        """What could be scored; None where nothing could."""
        metrics = self.harmless.attempt("judging drawn windows", lambda: self._metrics)
        drawn = self.harmless.attempt("drawing windows to judge", self._draw) if metrics else None
        if metrics is None or drawn is None:
            return None
        values: dict[str, float] = {}
        floor: dict[str, float] = {}
        for name in metrics:
            if ours := self._tried(f"the score {name!r}", name, drawn):
                if name not in self._floors:
                    self._floors[name] = self._tried(f"the floor of {name!r}", name, None)
                values |= ours
                # Training windows have labels that drawn ones may lack: a floor of these would stand beside nothing.
                floor |= {key: value for key, value in self._floors[name].items() if key in ours}
        line = self.harmless.attempt("a line of scores", lambda: in_a_line(values, floor, described(metrics)))
        return Found(values, floor, line or "") if values else None

    def _tried(self, what: str, name: str, windows: Windows | None) -> dict[str, float]:
        return self.harmless.attempt(what, lambda: self._scores(name, windows)) or {}

    def _scores(self, name: str, windows: Windows | None) -> dict[str, float]:
        """Of one metric; without windows, the floor."""
        real, train, floor = self._references
        metric = self._metrics[name]
        shown = floor_of(metric, real, floor) if windows is None else windows
        return quick_scores(name, metric, real, shown, train, joint=self.drawer.assembly.representation.parts == 1)

    def _draw(self) -> Windows:
        return self.drawer.windows(self._asked, self.held_out.info)

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        metrics, notices = quick_metrics(self.registry, self.run.config.evaluation.metrics, self.run.metric_options)
        for notice in notices:
            _log.warning("%s", notice)
        return metrics

    @cached_property
    def _asked(self) -> Asked:
        config = self.run.config
        return ask(
            self.card,
            self.drawer.assembly.network.conditioner.roles,
            template_of(self.run),
            (),
            conditioning=config.model.conditioning,
            count=config.training.eval_num_windows,
            seed=config.inference.seed,
        )

    @cached_property
    def _references(self) -> tuple[Windows, Windows, Windows]:
        """Held-out windows and training windows with all labels, and as many of these as are drawn, told of alike."""
        seed, count = self.run.config.inference.seed, self.run.config.training.eval_num_windows
        real, train = in_memory(self.held_out, MOST, seed), in_memory(self.train, MOST, seed)
        return real, train, floor_for(self._asked.columns(), count, train, seed)
