"""Scores without an evaluation around them: what a training and a sweep look at often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sd_core.errors import SdError
from sd_core.judging.gather import offered_metrics
from sd_core.judging.ranking import places
from sd_core.options import Options
from sd_core.protocols import Metric
from sd_core.registry import Registry
from sd_core.task import Score, Windows

_WORST = 3
"""Scores in a line."""


def quick_metrics(
    registry: Registry, named: Sequence[str], options: Mapping[str, Options]
) -> tuple[dict[str, Metric], list[str]]:
    """Build the metrics that take seconds.

    Args:
        registry: The installed plugins.
        named: Metrics wanted, however slow; empty takes all that are installed and do not call themselves slow.
        options: By metric; one that is absent has its defaults.

    Returns:
        The metrics by name, and a sentence for each that cannot be used here.
    """
    metrics: dict[str, Metric] = {}
    notices = []
    for name in named or offered_metrics(registry):
        try:
            given = options[name] if name in options else registry.options("metrics", name)()
            metric: Metric = registry.create("metrics", name, given)
        except SdError as problem:
            notices.append(f"{name} is left out: {problem}")
            continue
        if named or not getattr(metric, "slow", False):
            metrics[name] = metric
    return metrics, notices


def quick_scores(
    name: str, metric: Metric, real: Windows, generated: Windows, train: Windows, *, joint: bool
) -> dict[str, float]:
    """The headline scores of one metric that are defined here, by the names that metrics.json has for them.

    Args:
        name: Of the metric.
        metric: The judge.
        real: Held-out windows.
        generated: Windows to judge.
        train: Training windows.
        joint: Whether the electrodes of a window were generated together.
    """
    wanted = dict(headlines(name, metric, generated, joint=joint))
    if not wanted:
        return {}
    found = metric(real, generated, train)
    return {key: float(found[own]) for key, own in wanted.items() if math.isfinite(found.get(own, math.nan))}


def floor_of(metric: Metric, real: Windows, train: Windows) -> Windows:
    """What stands for generated windows at the floor: training windows; for guards the held-out ones themselves."""
    guards = all(score.alarm is not None for score in metric.scores.values() if not score.detail)
    return real if guards else train


def described(metrics: Mapping[str, Metric]) -> dict[str, dict[str, Any]]:
    """How to read the headline scores: title, unit, ideal and alarm, by the names that metrics.json has for them."""
    return {
        name if key == name else f"{name}.{key}": {
            "title": score.title,
            "unit": score.unit,
            "ideal": score.ideal,
            "alarm": score.alarm,
        }
        for name, metric in metrics.items()
        for key, score in metric.scores.items()
        if not score.detail
    }


def in_a_line(values: Mapping[str, float], floor: Mapping[str, float], scores: Mapping[str, Mapping[str, Any]]) -> str:
    """How far off the windows are on the whole, the scores furthest off with their floors, and guards that ring.

    Args:
        values: Headline scores.
        floor: Those of real training windows.
        scores: How to read them, from `described`.
    """
    (place,) = places([values], floor, scores)
    told = [f"error {place.excess:.2f} x floor"] if place.ratios else []
    worst = sorted(place.ratios or values, key=lambda key: -place.ratios.get(key, 0.0))[:_WORST]
    told += [f"{key} {values[key]:.3g}" + (f" ({floor[key]:.3g})" if key in floor else "") for key in worst]
    told += [f"ALARM {key} {values[key]:.3g} (limit {scores[key]['alarm']:.3g})" for key in place.alarms]
    return "  ".join(told)


def headlines(name: str, metric: Metric, generated: Windows, *, joint: bool) -> Iterator[tuple[str, str]]:
    """Names of the scores that are no details: as metrics.json has them, and as the metric has them."""
    for key, score in metric.scores.items():
        if not score.detail and _applies(score, generated, joint):
            yield (name if key == name else f"{name}.{key}"), key


def _applies(score: Score, generated: Windows, joint: bool) -> bool:
    return (joint or not score.spatial) and (not score.column or score.column in generated.columns)
