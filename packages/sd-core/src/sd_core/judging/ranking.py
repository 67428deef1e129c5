"""Which of several settings of one model is the best, by one rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    return [
        Place(math.inf) if values is None else Place(_excess(values, floors, scores), _alarms(values, guards, scores))
        for values in settings
    ]


def _excess(values: Values, floors: Values, scores: Mapping[str, Mapping[str, Any]]) -> float:
    ratios = [math.log(max(_error(key, values, scores) / floors[key], 1.0)) for key in floors if floors[key] > 0]
    return math.exp(statistics.fmean(ratios)) if ratios else math.inf


def _floor(key: str, known: Sequence[Values], floor: Values, scores: Mapping[str, Mapping[str, Any]]) -> float:
    typical = statistics.median(_error(key, values, scores) for values in known) if known else 0.0
    return max(_error(key, floor, scores), _LEAST * typical)


def _error(key: str, values: Values, scores: Mapping[str, Mapping[str, Any]]) -> float:
    return abs(values[key] - float(scores[key]["ideal"]))


def _alarms(values: Values, guards: Sequence[str], scores: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(key for key in guards if key in values and _rings(values[key], scores[key]))


def _rings(value: float, score: Mapping[str, Any]) -> bool:
    """Whether a value lies beyond the alarm, seen from the ideal."""
    limit = float(score["alarm"])
    return value < limit if limit < float(score["ideal"]) else value > limit
