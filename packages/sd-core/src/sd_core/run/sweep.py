"""The sweeping story: the same noise under many settings, scored alike; the best is kept for later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from sd_core.config.read import Run, read_resolved
from sd_core.config.write import plain
from sd_core.errors import SdError
from sd_core.judging.gather import fingerprint
from sd_core.judging.judge import floor_for
from sd_core.judging.quick import described, floor_of, quick_metrics, quick_scores
from sd_core.judging.results import MOST_REAL, MOST_TRAIN, Counting, silent
from sd_core.protocols import Metric
from sd_core.registry import Registry, discover
from sd_core.run.best import write_best
from sd_core.run.cells import Axes, grid
from sd_core.run.checkpoint import newest
from sd_core.run.referring import counted, networks_of, reference_split
from sd_core.run.sample import LoadedRun, Tick, asked_of, generate, load_run, run_dir_of
from sd_core.run.stored import RUN
from sd_core.run.sweep_record import Record, Row, ranked
from sd_core.task import Windows
from sd_core.windows.room import refuse_unwritable

COUNT = 128
"""Windows of a setting, unless `[evaluation] num_samples` is smaller."""
PLOT = "sweep"
"""The report component that draws a sweep."""


@dataclass(frozen=True)
class _Bench:
    """What every setting is drawn and measured with."""

    registry: Registry
    overrides: Sequence[str]
    metrics: Mapping[str, Metric]
    real: Windows
    train: Windows
    joint: bool
    count: int
    seed: int

    def floor(self, told: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        """The headline scores of as many training windows, beside drawn ones that have the columns `told`."""
        some = floor_for(told, self.count, self.train, self.seed)
        return self._scores({name: floor_of(metric, self.real, some) for name, metric in self.metrics.items()})

    def _scores(self, shown: Mapping[str, Windows]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, metric in self.metrics.items():
            found |= quick_scores(name, metric, self.real, shown[name], self.train, joint=self.joint)
        return found

    def cell(self, loaded: LoadedRun, tick: Tick) -> dict[str, Any]:
        """Draw and score one setting."""
        with counted(networks_of(loaded)) as passed:
            windows = generate(loaded, self.count, tick=tick)
        cost = {"evaluations": round(passed[0] / (self.count * loaded.assembly.representation.parts), 2)}
        if not np.isfinite(windows.signal).all():
            return {"values": None, **cost, "note": "drew numbers that are not finite"}
        return {"values": self._scores(dict.fromkeys(self.metrics, windows)), **cost, "note": ""}

    def basis(self, run: Run) -> dict[str, Any]:
        """What makes scores comparable: where it differs, a sweep starts anew."""
        options = run.metric_options
        return {
            "windows": self.count,
            "split": run.config.dataset.val_split,
            "reference": fingerprint(self.real),
            "training": fingerprint(self.train),
            "metrics": {name: plain(options[name]) if name in options else {} for name in self.metrics},
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Swept:
    """What a sweep leaves."""

    content: Mapping[str, Any]
    """Of sweep.json, as far as this grid goes."""
    files: tuple[Path, ...]


def sweep(
    source: Path,
    axes: Axes,
    *,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    count: int | None = None,
    registry: Registry | None = None,
    counting: Counting = silent,
) -> Swept:
    """Try every setting of a grid on saved snapshots, with the same noise, against the validation split.

    The test split is left for the verdict on the setting that is chosen. What is done is kept: a sweep that was
    stopped goes on where it was, and a larger grid computes only what is new.

    Args:
        source: A run directory or a checkpoint.
        axes: What to vary.
        overrides: `section.key=value` settings of all cells.
        out: Folder of the files; the run directory when not given.
        count: Windows of a setting.
        registry: The installed plugins, when the caller has them.
        counting: Shows progress.

    Raises:
        SdError: an axis asks for what the run cannot do, the data cannot be found, no metric is left, or the folder
            cannot be written.
    """
    registry = registry or discover()
    folder = out or run_dir_of(source)
    refuse_unwritable(folder)
    base = read_resolved(newest(source) / RUN, overrides, registry)
    count = count or min(COUNT, base.config.evaluation.num_samples)
    metrics, notes = quick_metrics(registry, base.config.evaluation.metrics, base.metric_options)
    if not metrics:
        raise SdError("no metric is left to sweep with: pip install 'sd-data[eval]', or name evaluation.metrics")
    loaded = load_run(newest(source), overrides, registry=registry)
    cells = grid(base, source, axes, registry, guidable=_guidable(loaded))
    rows = [
        Row.of(cell, read_resolved(cell.checkpoint / RUN, [*overrides, *cell.overrides], registry)) for cell in cells
    ]

    # What all are measured with.
    bench, more = _bench(loaded, overrides, metrics, count)
    record = Record.open(folder, bench.basis(base), notes + more)
    if not record.floor:
        record.floor |= bench.floor(asked_of(loaded, count, bench.seed).columns())
        record.scores |= described(metrics)

    # The settings, one after the other; each is on the disk before the next begins.
    todo = [row for row in rows if row.identity not in record.cells]
    with counting(f"sweeping {len(rows)} settings", count * len(rows)) as tick:
        tick(count * (len(rows) - len(todo)))
        _fill(record, todo, bench, tick)
    return _leave(folder, record, rows, registry)


def _guidable(loaded: LoadedRun) -> bool:
    """Whether there is a null condition or an earlier checkpoint to guide away from."""
    inference = loaded.run.config.inference
    if inference.guidance_checkpoint is not None:
        return True
    return bool(loaded.assembly.network.conditioner.emits.needs)


def _bench(
    loaded: LoadedRun, overrides: Sequence[str], metrics: Mapping[str, Metric], count: int
) -> tuple[_Bench, list[str]]:
    dataset, seed = loaded.run.config.dataset, loaded.run.config.inference.seed
    real, notes = reference_split(loaded, dataset.val_split, MOST_REAL, seed)
    train, more = reference_split(loaded, dataset.train_split, MOST_TRAIN, seed)
    joint = loaded.assembly.representation.parts == 1
    return _Bench(loaded.registry, overrides, metrics, real, train, joint, count, seed), notes + more


def _fill(record: Record, todo: Sequence[Row], bench: _Bench, tick: Tick) -> None:
    """Draw and score what is not in the record yet; a network is loaded once for all settings of its weights."""
    for _, group in groupby(todo, key=lambda row: (row.cell.checkpoint, row.cell.ema)):
        same = list(group)
        strongest = max((row.cell for row in same), key=lambda cell: abs(cell.scale - 1))
        loaded = load_run(strongest.checkpoint, [*bench.overrides, *strongest.overrides], registry=bench.registry)
        for row in same:
            record.add(row, bench.cell(replace(loaded, run=row.run), tick))


def _leave(folder: Path, record: Record, rows: Sequence[Row], registry: Registry) -> Swept:
    """The ranking, the table, the plot and the best setting."""
    order, content = ranked(record, rows)
    files = record.leave(content)
    if order and content["settings"][0]["excess"] is not None:
        files.append(write_best(folder, order[0].cell, content["settings"][0]["excess"]))
    try:
        draw = registry.create("reports", PLOT, registry.options("reports", PLOT)())
    except SdError as problem:
        content["notes"].append(f"no plot: {problem}")
    else:
        files.append(draw(content, {}, folder))
    return Swept(content, tuple(files))
