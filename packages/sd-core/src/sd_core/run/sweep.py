"""The sweeping story: the same noise under many settings, scored alike; the best is kept for later."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from sd_core.config.read import Run, read_resolved
from sd_core.config.write import plain
from sd_core.disk import disk_errors
from sd_core.errors import SdError
from sd_core.judging.alike import about_references
from sd_core.judging.gather import fingerprint
from sd_core.judging.judge import floor_for
from sd_core.judging.quick import described, floor_of, headlines, quick_metrics, quick_scores
from sd_core.judging.results import MOST_REAL, MOST_TRAIN, Counting, silent
from sd_core.protocols import Metric
from sd_core.registry import Registry, discover
from sd_core.run.best import write_best
from sd_core.run.cells import Axes, grid
from sd_core.run.checkpoint import MANIFEST, newest
from sd_core.run.referring import counted, networks_of, reference_split
from sd_core.run.sample import LoadedRun, Tick, asked_of, generate, load_run, run_dir_of
from sd_core.run.stored import RUN
from sd_core.run.sweep_record import REMEDY, Record, Row, ranked
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
    told: Mapping[str, Sequence[Any]]
    """Columns of drawn windows."""
    joint: bool
    count: int
    seed: int

    def floor(self, known: Collection[str]) -> tuple[dict[str, float], list[str]]:
        """The headline scores of as many training windows, and a sentence where metrics failed.

        Args:
            known: Scores whose metrics need not be asked again.
        """
        some = floor_for(self.told, self.count, self.train, self.seed)
        # Training windows have labels that drawn ones may lack: a floor of these would stand beside nothing.
        drawn = replace(some, columns=dict(self.told))
        wanted = {
            name: {key for key, _ in headlines(name, metric, drawn, joint=self.joint)}
            for name, metric in self.metrics.items()
        }
        asked = {name: self.metrics[name] for name, keys in wanted.items() if keys and not keys & set(known)}
        found, failed = self._scores({name: floor_of(metric, self.real, some) for name, metric in asked.items()})
        found = {key: value for key, value in found.items() if any(key in wanted[name] for name in asked)}
        return found, [f"real training windows {failed}"] if failed else []

    def _scores(self, shown: Mapping[str, Windows]) -> tuple[dict[str, float], str]:
        """Of the windows that each metric is shown; and which metrics failed, as a clause."""
        found: dict[str, float] = {}
        failed = []
        for name, windows in shown.items():
            try:
                found |= self._asked(name, windows)
            except SdError as problem:
                failed.append(str(problem))
        clause = f"could not be scored by {', '.join(failed)}" if failed else ""
        return found, clause + (", which is left out of the ranking" if failed and found else "")

    def _asked(self, name: str, windows: Windows) -> dict[str, float]:
        """Scores of one metric; whatever a stranger's raises is an SdError."""
        try:
            return quick_scores(name, self.metrics[name], self.real, windows, self.train, joint=self.joint)
        except Exception as error:
            said = str(error).strip().splitlines()
            raise SdError(f"{name} ({type(error).__name__}: {said[0] if said else 'no message'})") from error

    def cell(self, loaded: LoadedRun, tick: Tick) -> dict[str, Any]:
        """Draw and score one setting."""
        with counted(networks_of(loaded)) as passed:
            windows = generate(loaded, self.count, tick=tick)
        cost = {"evaluations": round(passed[0] / (self.count * loaded.assembly.representation.parts), 2)}
        if not np.isfinite(windows.signal).all():
            return {"values": None, **cost, "note": "drew numbers that are not finite"}
        values, failed = self._scores(dict.fromkeys(self.metrics, windows))
        note = failed or ("" if values else "has no score that is defined")
        return {"values": values or None, **cost, "note": note}

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
        out: Folder of the files; the run directory when not given. best.toml is always in the run directory.
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

    # What is tried, and what all are measured with.
    rows, bench, notes = _prepared(source, base, axes, overrides, count, registry=registry)
    record = Record.open(folder, bench.basis(base), notes)
    floor, more = bench.floor(record.floor)
    record.floor |= floor
    record.notes += more
    record.scores |= described(bench.metrics)

    # The settings, one after the other; each is on the disk before the next begins.
    todo = [row for row in rows if row.identity not in record.cells]
    with counting(f"sweeping {len(rows)} settings, windows", bench.count * len(rows)) as tick:
        tick(bench.count * (len(rows) - len(todo)))
        _fill(record, todo, bench, tick)
    return _leave(source, record, rows, registry)


def _prepared(
    source: Path, base: Run, axes: Axes, overrides: Sequence[str], count: int | None, *, registry: Registry
) -> tuple[list[Row], _Bench, list[str]]:
    """The settings and their bench; the network that is loaded to know what it can do is let go on return."""
    evaluation = base.config.evaluation
    metrics, notes = quick_metrics(registry, evaluation.metrics, base.metric_options)
    if not metrics:
        raise SdError("no metric is left to sweep with: pip install 'sd-data[eval]', or name evaluation.metrics")
    loaded = load_run(newest(source), overrides, registry=registry)
    cells = grid(base, source, axes, registry, guidable=_guidable(loaded))
    rows = [
        Row.of(cell, read_resolved(cell.checkpoint / RUN, [*overrides, *cell.overrides], registry)) for cell in cells
    ]
    bench, more = _bench(loaded, overrides, metrics, count or min(COUNT, evaluation.num_samples))
    return rows, bench, notes + more


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
    notes += more + about_references({"generated": loaded.info, "held-out": real.info, "training": train.info})
    told = asked_of(loaded, count, seed).columns()
    return _Bench(loaded.registry, overrides, metrics, real, train, told, joint, count, seed), notes


def _fill(record: Record, todo: Sequence[Row], bench: _Bench, tick: Tick) -> None:
    """Draw and score what is not in the record yet; a network is loaded once for all settings of its weights."""
    for _, group in groupby(todo, key=lambda row: (row.cell.checkpoint, row.cell.ema)):
        _fill_alike(record, list(group), bench, tick)


def _fill_alike(record: Record, same: Sequence[Row], bench: _Bench, tick: Tick) -> None:
    """Settings of the same weights; on return these are let go, before others are loaded."""
    strongest = max((row.cell for row in same), key=lambda cell: abs(cell.scale - 1))
    loaded = load_run(strongest.checkpoint, [*bench.overrides, *strongest.overrides], registry=bench.registry)
    for row in same:
        record.add(row, bench.cell(replace(loaded, run=row.run), tick))


def _leave(source: Path, record: Record, rows: Sequence[Row], registry: Registry) -> Swept:
    """The ranking, the table, the plot and the best setting."""
    order, content = ranked(record, rows)
    files = record.leave(content)
    if order and content["settings"][0]["excess"] is not None:
        try:
            files.append(_keep_best(run_dir_of(source), order[0], content["settings"][0]["excess"]))
        except SdError as problem:
            content["notes"].append(f"no best.toml: {problem}")
    try:
        draw = registry.create("reports", PLOT, registry.options("reports", PLOT)())
    except SdError as problem:
        content["notes"].append(f"no plot: {problem}")
    else:
        with disk_errors(record.folder, REMEDY):
            files.append(draw(content, {}, record.folder))
    return Swept(content, tuple(files))


def _keep_best(run_dir: Path, row: Row, excess: float) -> Path:
    """Write best.toml where `--best` looks for it: in the run directory."""
    if (run_dir / MANIFEST).is_file():
        raise SdError(f"{run_dir} is a checkpoint alone, and --best needs a run directory: use --set")
    with disk_errors(run_dir, "copy the first setting with --set"):
        return write_best(run_dir, row.cell, excess)
