"""Scores of a few drawn windows in the middle of a training."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property

from sd_core.config.read import Run
from sd_core.judging.gather import in_memory
from sd_core.judging.judge import floor_for
from sd_core.judging.quick import floor_of, quick_metrics, quick_scores
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

    def scores(self) -> dict[str, float]:
        """Headline scores as "eval/NAME", those of training windows as "floor/NAME"; what failed is missing."""
        metrics = self.harmless.attempt("judging drawn windows", lambda: self._metrics)
        drawn = self.harmless.attempt("drawing windows to judge", self._draw) if metrics else None
        if metrics is None or drawn is None:
            return {}
        found: dict[str, float] = {}
        for name in metrics:
            found |= self._tried(f"the score {name!r}", "eval", name, drawn)
            if name not in self._floors:
                self._floors[name] = self._tried(f"the floor of {name!r}", "floor", name, None)
            found |= self._floors[name]
        return found

    def _tried(self, what: str, group: str, name: str, windows: Windows | None) -> dict[str, float]:
        values = self.harmless.attempt(what, lambda: self._scores(name, windows)) or {}
        return {f"{group}/{key}": value for key, value in values.items()}

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
