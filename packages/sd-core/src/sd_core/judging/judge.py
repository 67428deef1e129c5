"""From windows and metrics to the content of metrics.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sd_core.errors import SdError
from sd_core.judging.surrogates import SURROGATES, TITLES
from sd_core.judging.verdict import standing, verdict
from sd_core.protocols import Metric
from sd_core.task import Score, Windows

INDEPENDENT = "n/a: electrodes are generated independently"
"""Why a spatial score has no value when a model generates one electrode at a time."""

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
    For guards (scores with an alarm) the floor is the held-out windows against themselves.

    Args:
        real: Held-out windows, the reference.
        generated: Windows of the model, of the same geometry.
        train: Windows that the model was trained on.
        metrics: By the name that prefixes their scores.
        seed: Of the floor's subsample and of the surrogates.
        joint: Whether the electrodes of a window were generated together.
        progress: Called with the name of each metric before it runs.

    Returns:
        `scores` (per score: title, unit, ideal, value, floor, surrogates, standing), `references`
        (their titles), `counts`, `data` and `verdict`; numbers that are not defined are None.

    Raises:
        SdError: a set is empty, or the windows do not have one geometry.
    """
    _check_geometry(real, generated, train)
    bench = _bench(real, generated, train, seed)
    scores: dict[str, Any] = {}
    for name, metric in metrics.items():
        progress(name)
        scores |= bench.scores(name, metric, joint)
    return {
        "scores": scores,
        "references": {"floor": "floor (real)", **TITLES},
        "counts": {
            "real": len(real),
            "train": len(train),
            "generated": len(generated),
            "compared": len(bench.candidates["value"]),
        },
        "data": _describe(real),
        "verdict": verdict(scores),
    }


def subset(windows: Windows, rows: Any) -> Windows:
    """The windows at these rows (integers), with their columns."""
    columns = {name: [values[row] for row in rows] for name, values in windows.columns.items()}
    return Windows(signal=windows.signal[rows], info=windows.info, columns=columns)


@dataclass(frozen=True)
class _Bench:
    """Everything that a metric is shown."""

    real: Windows
    train: Windows
    candidates: Mapping[str, Windows]
    """"value" (the model), "floor" and each surrogate: as many windows each."""

    def scores(self, name: str, metric: Metric, joint: bool) -> dict[str, Any]:
        """The entries of one metric: every candidate against the same held-out windows."""
        asked = {"", *self.candidates["value"].columns}
        about = {key: score for key, score in metric.scores.items() if score.column in asked}
        defined = {key for key, score in about.items() if joint or not score.spatial}
        guards_only = all(metric.scores[key].alarm is not None for key in defined)
        found: dict[str, dict[str, float]] = {}
        for candidate, windows in self.candidates.items() if defined else ():
            # Training windows are their own nearest neighbours: a guard against copying would ring at the floor.
            shown = self.real if candidate == "floor" and guards_only else windows
            found[candidate] = metric(self.real, shown, self.train)
        return {
            name if key == name else f"{name}.{key}": _entry(score, key, found, key in defined)
            for key, score in about.items()
        }


def _bench(real: Windows, generated: Windows, train: Windows, seed: int) -> _Bench:
    """Draw the same number of windows for everybody; every surrogate stands in for the floor's windows."""
    rng = np.random.default_rng([seed, 0])
    count = min(len(generated), len(train))
    chosen = np.sort(rng.permutation(len(generated))[:count])
    rows = np.sort(rng.permutation(len(train))[:count])
    candidates = {"value": subset(generated, chosen), "floor": subset(train, rows)}
    return _Bench(real, train, candidates | {name: make(train, rows, seed) for name, make in SURROGATES.items()})


def _entry(score: Score, key: str, found: Mapping[str, Mapping[str, float]], defined: bool) -> dict[str, Any]:
    numbers = {candidate: _finite(values.get(key)) for candidate, values in found.items()}
    entry: dict[str, Any] = {
        "title": score.title,
        "unit": score.unit,
        "ideal": score.ideal,
        "value": numbers.get("value"),
        "floor": numbers.get("floor"),
        "surrogates": {surrogate: numbers.get(surrogate) for surrogate in SURROGATES},
        "detail": score.detail,
        "alarm": score.alarm,
        "alarm_means": score.alarm_means,
        "note": "" if defined else INDEPENDENT,
    }
    return entry | {"standing": standing(entry)}


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
