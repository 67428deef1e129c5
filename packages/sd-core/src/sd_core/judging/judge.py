"""From windows and metrics to the content of metrics.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sd_core.errors import SdError
from sd_core.judging.alike import about_references
from sd_core.judging.resampling import Halved, Halves, freedom, halves, interval, margin, on_halves
from sd_core.judging.surrogates import SURROGATES, TITLES
from sd_core.judging.verdict import standing, verdict
from sd_core.protocols import Metric, Resampleable
from sd_core.task import Score, Windows, persons_of

if TYPE_CHECKING:
    from sd_core.protocols import Rows

INDEPENDENT = "n/a: electrodes are generated independently"
"""Why a spatial score has no value when a model generates one electrode at a time."""

WHOSE = ("corpus", "subject")
"""The columns that say who a window is of."""

Progress = Callable[[str], None]
"""Told which metric is being computed."""


def judge(
    real: Windows,
    generated: Windows,
    train: Windows,
    metrics: Mapping[str, Metric],
    *,
    seed: int,
    joint: bool = True,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Score generated windows beside the floor and the surrogates.

    All three stand where the generated windows stand: the same number of windows, against the same
    held-out windows. The floor takes them from the training data, since a model imitates those.
    For guards (scores with an alarm) the floor is the held-out windows against themselves. Metrics are told whose
    the floor's windows and the surrogates are where they are told it of the generated ones (`as_told`).

    Args:
        real: Held-out windows, the reference.
        generated: Windows of the model, of the same geometry.
        train: Windows that the model was trained on.
        metrics: By the name that prefixes their scores.
        seed: Of the floor's subsample, of the surrogates and of the halves that intervals come from.
        joint: Whether the electrodes of a window were generated together.
        progress: Called with the name of each metric before it runs.

    Returns:
        `scores` (per score: title, unit, ideal, value, floor, surrogates, their intervals, standing),
        `references` (their titles), `counts`, `data`, `verdict` and `warnings` (sentences on what else may have
        decided the scores); numbers that are not defined are None, so are intervals of metrics that are not
        `Resampleable`.

    Raises:
        SdError: a set is empty, or the windows do not have one geometry.
    """
    _check_geometry(real, generated, train)
    bench = _bench(real, generated, train, seed)
    scores: dict[str, Any] = {}
    for name, metric in metrics.items():
        progress(name)
        scores |= bench.scores(name, metric, joint)
    counts = {
        "real": len(real),
        "train": len(train),
        "generated": len(generated),
        "compared": len(bench.candidates["value"]),
        "subjects": len(real.people) or None,
    }
    return {
        "scores": scores,
        "references": {"floor": "floor (real)", **TITLES},
        "counts": counts,
        "data": _describe(real),
        "verdict": verdict(
            scores, compared=counts["compared"], generated=counts["generated"], people=counts["subjects"]
        ),
        "warnings": about_references({"generated": generated.info, "held-out": real.info, "training": train.info}),
    }


def subset(windows: Windows, rows: Any) -> Windows:
    """The windows at these rows (integers), with their columns."""
    columns = {name: [values[row] for row in rows] for name, values in windows.columns.items()}
    return Windows(signal=windows.signal[rows], info=windows.info, columns=columns)


def compared_rows(generated: int, train: int, seed: int) -> tuple[Rows, Rows]:
    """Which generated and which training windows are compared, of that many: as many of each, in order."""
    rng = np.random.default_rng([seed, 0])
    count = min(generated, train)
    chosen, rows = (np.sort(rng.permutation(there)[:count]) for there in (generated, train))
    return chosen, rows


def as_told(windows: Windows, told: Mapping[str, Sequence[Any]]) -> Windows:
    """Training windows that say no more of whose they are than the generated ones, which have the columns `told`.

    A classifier that keeps the windows of a person together is a milder judge: the model, the floor and the
    surrogates must be grouped alike. One person is no grouping.
    """
    several = len({person for person in persons_of(told) if person is not None}) > 1
    hidden = set(WHOSE) - set(told) if several else set(WHOSE)
    return replace(windows, columns={name: kept for name, kept in windows.columns.items() if name not in hidden})


def floor_for(told: Mapping[str, Sequence[Any]], count: int, train: Windows, seed: int) -> Windows:
    """The training windows that stand beside `count` generated ones: drawn, and told of, as `judge` does."""
    return as_told(subset(train, compared_rows(count, len(train), seed)[1]), told)


@dataclass(frozen=True)
class _Found:
    """What a metric says of one candidate."""

    scores: Mapping[str, float]
    halved: Halved
    """Empty where the metric is not resampled."""
    degrees: int
    """Of freedom of its intervals."""


@dataclass(frozen=True)
class _Bench:
    """Everything that a metric is shown."""

    real: Windows
    train: Windows
    candidates: Mapping[str, Windows]
    """"value" (the model), "floor" and each surrogate: as many windows each."""
    halves: Mapping[str, Halves]
    """Of "real" and of each candidate. All meet the same halves of the held-out windows. The floor is halved by
    people even where metrics are not told them, and a surrogate with the training windows it was made from:
    what they share cancels in their differences."""

    def scores(self, name: str, metric: Metric, joint: bool) -> dict[str, Any]:
        """The entries of one metric: every candidate against the same held-out windows."""
        asked = {"", *self.candidates["value"].columns}
        about = {key: score for key, score in metric.scores.items() if score.column in asked}
        defined = {key for key, score in about.items() if joint or not score.spatial}
        guards_only = all(metric.scores[key].alarm is not None for key in defined)
        found: dict[str, _Found] = {}
        for candidate in self.candidates if defined else ():
            # Training windows are their own nearest neighbours: a guard against copying would ring at the floor.
            shown = "real" if candidate == "floor" and guards_only else candidate
            found[candidate] = self._score(metric, shown)
        return {
            name if key == name else f"{name}.{key}": _entry(score, key, found, key in defined)
            for key, score in about.items()
        }

    def _score(self, metric: Metric, shown: str) -> _Found:
        windows = self.real if shown == "real" else self.candidates[shown]
        theirs, ours = self.halves["real"], self.halves[shown]
        degrees = freedom(theirs, ours)
        if not isinstance(metric, Resampleable):
            return _Found(metric(self.real, windows, self.train), {}, degrees)
        scorer = metric.scorer(self.real, windows, self.train)
        everybody = scorer(np.arange(len(self.real)), np.arange(len(windows)))
        return _Found(everybody, on_halves(scorer, theirs, ours), degrees)


def _bench(real: Windows, generated: Windows, train: Windows, seed: int) -> _Bench:
    """Draw the same number of windows for everybody; every surrogate stands in for the floor's windows."""
    chosen, rows = compared_rows(len(generated), len(train), seed)
    value, original = subset(generated, chosen), subset(train, rows)
    floor = as_told(original, value.columns)
    whose = {name: floor.columns[name] for name in WHOSE if name in floor.columns}
    surrogates = {name: replace(make(train, rows, seed), columns=whose) for name, make in SURROGATES.items()}
    split = {"real": halves(real, [seed, 4]), "value": halves(value, [seed, 5]), "floor": halves(original, [seed, 6])}
    return _Bench(
        real=real,
        train=train,
        candidates={"value": value, "floor": floor, **surrogates},
        halves=split | dict.fromkeys(surrogates, split["floor"]),
    )


def _entry(score: Score, key: str, found: Mapping[str, _Found], defined: bool) -> dict[str, Any]:
    numbers = {candidate: _finite(each.scores.get(key)) for candidate, each in found.items()}
    entry: dict[str, Any] = {
        "title": score.title,
        "unit": score.unit,
        "ideal": score.ideal,
        "value": numbers.get("value"),
        "interval": _interval(score, key, found.get("value")),
        "floor": numbers.get("floor"),
        "floor_interval": _interval(score, key, found.get("floor")),
        "surrogates": {surrogate: numbers.get(surrogate) for surrogate in SURROGATES},
        "margins": {reference: _margin(score, key, found, reference) for reference in ("floor", *SURROGATES)},
        "slack": score.slack,
        "detail": score.detail,
        "alarm": score.alarm,
        "alarm_means": score.alarm_means,
        "note": _note(score, numbers.get("value")) if defined else INDEPENDENT,
    }
    return entry | {"standing": standing(entry)}


def _note(score: Score, value: float | None) -> str:
    return f"n/a: {score.undefined}" if value is None and score.undefined else ""


def _interval(score: Score, key: str, found: _Found | None) -> list[float] | None:
    if found is None or key not in found.halved or _finite(found.scores.get(key)) is None:
        return None
    low, high = interval(found.scores[key], score.ideal, found.halved[key], found.degrees)
    return [max(low, score.limits[0]), min(high, score.limits[1])]


def _margin(score: Score, key: str, found: Mapping[str, _Found], reference: str) -> float | None:
    """How far the error of the model and that of a reference come apart by chance.

    Both are taken on the same halves of the held-out people, so the luck of who was held out cancels.
    """
    pair = [found[candidate] for candidate in ("value", reference) if candidate in found]
    if len(pair) < 2 or any(key not in each.halved for each in pair):
        return None
    ours, theirs = (np.abs(each.halved[key] - score.ideal) for each in pair)
    return margin(ours - theirs, min(each.degrees for each in pair))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _check_geometry(real: Windows, generated: Windows, train: Windows) -> None:
    for role, windows in (("held-out", real), ("generated", generated), ("training", train)):
        if not len(windows):
            raise SdError(f"there are no {role} windows to judge with")
        if _geometry(windows) != _geometry(real):
            raise SdError(
                f"the {role} windows have {windows.info} ({', '.join(windows.info.channel_names)}), the held-out ones "
                f"{real.info} ({', '.join(real.info.channel_names)}): they cannot be compared"
            )


def _geometry(windows: Windows) -> tuple[tuple[str, ...], int, float]:
    return windows.info.channel_names, windows.info.n_samples, windows.info.sfreq


def _describe(real: Windows) -> dict[str, Any]:
    return {
        "channel_names": list(real.info.channel_names),
        "n_samples": real.info.n_samples,
        "sfreq": real.info.sfreq,
        "reference": real.info.reference,
    }
