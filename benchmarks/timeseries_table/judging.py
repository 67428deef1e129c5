"""Score one set and keep what came out, so that an interrupted table goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timeseries_table.data import Series
from benchmarks.timeseries_table.memorisation import memorisation
from benchmarks.timeseries_table.product import Drawn
from benchmarks.timeseries_table.scores import MEASURES, REPEATS
from sd_core.run.console import counting

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """What is known of one set."""

    generated: dict[str, list[float]]
    """Score -> a value per repeat."""
    floor: dict[str, list[float]]
    """The same with the training windows in the place of generated ones."""
    memorisation: dict[str, float]
    outside: float
    """Share of the drawn values that lay outside [0, 1] and were moved to its border."""
    windows: int
    provenance: dict[str, Any]


def judge(train: Series, drawn: Drawn, folder: Path) -> Result:
    """All scores of a set; those that `folder` keeps from an earlier call are read."""
    inside = np.clip(drawn.windows, 0, 1)
    generated = _scored(train.windows, inside, folder / f"scores-{drawn.digest}.json", "scoring generated windows")
    floor = _scored(train.windows, train.windows, folder / "floor.json", "scoring real windows")
    return Result(
        generated=generated,
        floor=floor,
        memorisation=memorisation(train, inside),
        outside=float((inside != drawn.windows).mean()),
        windows=len(drawn.windows),
        provenance=drawn.provenance,
    )


def _scored(real: Array, candidate: Array, file: Path, what: str) -> dict[str, list[float]]:
    """Score -> a value per repeat; repeat r has the seed r."""
    known: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    missing = [name for name in MEASURES if name not in known]
    if not missing:
        return known
    with counting(what, len(missing)) as tick:
        for name in missing:
            known[name] = MEASURES[name](real, candidate, list(range(REPEATS)))
            _replace(file, json.dumps(known, indent=2) + "\n")
            tick(1)
    return known


def _replace(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
