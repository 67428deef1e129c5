"""Which of several settings of one model is the best, by one rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sd_core.judging.verdict import rings

Values = Mapping[str, float]
"""Score -> number."""

_LEAST = 0.05
"""Share of the settings' median error that a floor counts at least: that of an unbiased score may be zero."""


@dataclass(frozen=True)
class Place:
    """How a setting did."""

    excess: float
    """Geometric mean, over the scores, of error / floor error; below the floor counts as the floor. Infinite where
    nothing could be scored."""
    alarms: tuple[str, ...] = ()
    """Guards that ring: such a setting stands behind every one without."""
    ratios: Values = field(default_factory=dict)
    """What `excess` is the mean of: score -> error / floor error, at least 1."""

    @property
    def key(self) -> tuple[int, float]:
        """Sorts settings, the best first."""
        return len(self.alarms), self.excess


def places(settings: Sequence[Values | None], floor: Values, scores: Mapping[str, Mapping[str, Any]]) -> list[Place]:
    """The place of each setting.

    A score's error is |value - ideal|. Scores that are missing in a setting, or at the floor, are left out for all.

    Args:
        settings: The scores of each; None where it could not be scored.
        floor: The scores of real training windows.
        scores: Per score: `ideal`, and `alarm` (None for distances).
    """
    known = [values for values in settings if values is not None]
    common = [key for key in scores if key in floor and all(key in values for values in known)]
    distances = [key for key in common if scores[key]["alarm"] is None]
    guards = [key for key in scores if scores[key]["alarm"] is not None]
    floors = {key: _floor(key, known, floor, scores) for key in distances}
    return [Place(math.inf) if values is None else _place(values, floors, guards, scores) for values in settings]


def _place(values: Values, floors: Values, guards: Sequence[str], scores: Mapping[str, Mapping[str, Any]]) -> Place:
    ratios = {key: max(_error(key, values, scores) / least, 1.0) for key, least in floors.items() if least > 0}
    excess = math.exp(statistics.fmean(map(math.log, ratios.values()))) if ratios else math.inf
    alarms = tuple(key for key in guards if key in values and rings(values[key], scores[key]))
    return Place(excess, alarms, ratios)


def _floor(key: str, known: Sequence[Values], floor: Values, scores: Mapping[str, Mapping[str, Any]]) -> float:
    typical = statistics.median(_error(key, values, scores) for values in known) if known else 0.0
    return max(_error(key, floor, scores), _LEAST * typical)


def _error(key: str, values: Values, scores: Mapping[str, Mapping[str, Any]]) -> float:
    return abs(values[key] - float(scores[key]["ideal"]))
