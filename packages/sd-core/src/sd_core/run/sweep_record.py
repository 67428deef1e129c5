"""sweep.json and sweep.csv: every setting that was tried, kept as soon as it is done."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sd_core.config.read import Run
from sd_core.disk import disk_errors, whole_file
from sd_core.judging.ranking import Place, places
from sd_core.run.cells import Cell

RECORD = "sweep.json"
TABLE = "sweep.csv"
REMEDY = "make room and sweep again: what is done is kept"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """A cell with the identity of its windows."""

    identity: str
    cell: Cell
    run: Run
    """The config of the checkpoint under this setting."""

    @classmethod
    def of(cls, cell: Cell, run: Run) -> Row:
        """The row of a cell."""
        return cls(cell.identity(run.config.inference.model_dump(mode="json")), cell, run)


@dataclass
class Record:
    """What a sweep has done so far, of every grid that was asked for."""

    folder: Path
    basis: Mapping[str, Any]
    """What makes scores comparable."""
    notes: list[str]
    floor: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per score: title, unit, ideal, alarm."""
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By identity: title, values (None where nothing could be scored), network evaluations per example, note."""

    @classmethod
    def open(cls, folder: Path, basis: Mapping[str, Any], notes: Sequence[str]) -> Record:
        """Go on with the record there; one of another basis is set aside, said aloud."""
        path = folder / RECORD
        if not path.is_file():
            return cls(folder, basis, list(notes))
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            kept = {name: found[name] for name in ("floor", "scores", "cells")}
            same = found["basis"] == json.loads(json.dumps(basis))
        except (ValueError, KeyError, TypeError):
            same, kept = False, {}
        if same:
            return cls(folder, basis, list(notes), **kept)
        aside = path.with_suffix(".before.json")
        with disk_errors(path, REMEDY):
            path.replace(aside)
        _log.warning(
            "%s is of other windows, metrics or seed and cannot be gone on with; it is now %s", path, aside.name
        )
        return cls(folder, basis, list(notes))

    def add(self, row: Row, content: Mapping[str, Any]) -> None:
        """Keep a cell, on the disk."""
        self.cells[row.identity] = {"title": row.cell.title, **content}
        self._write({})

    def leave(self, content: Mapping[str, Any]) -> list[Path]:
        """Write the record with the ranking, and the table of the ranking."""
        self._write({"settings": content["settings"], "rule": content["rule"]})
        table = io.StringIO()
        keys = list(content["scores"])
        writer = csv.writer(table)
        writer.writerow(["rank", "checkpoint", *_AXES, "excess", "evaluations", "alarms", *keys, "note"])
        for rank, entry in enumerate(content["settings"], 1):
            values = entry["values"] or {}
            chosen = [_cell(entry["inference"].get(axis)) for axis in _AXES]
            told = [_cell(entry["excess"]), entry["evaluations"], " ".join(entry["alarms"])]
            writer.writerow(
                [rank, entry["checkpoint"], *chosen, *told, *(values.get(key, "") for key in keys), entry["note"]]
            )
        floor = [content["floor"].get(key, "") for key in keys]
        writer.writerow(["floor", *[""] * (len(_AXES) + 4), *floor, ""])
        _replace(self.folder / TABLE, table.getvalue())
        return [self.folder / RECORD, self.folder / TABLE]

    def _write(self, more: Mapping[str, Any]) -> None:
        content = {"basis": self.basis, "floor": self.floor, "scores": self.scores, "cells": self.cells, **more}
        _replace(self.folder / RECORD, json.dumps(content, indent=1, allow_nan=False) + "\n")


_AXES = ("ema", "sampler", "denoising_steps", "cfg_scale", "guidance_interval")
RULE = (
    "geometric mean over the scores of error / floor error, below the floor counted as the floor; settings whose "
    "guards ring come last, of equal ones that with fewer network evaluations comes first"
)


def ranked(record: Record, rows: Sequence[Row]) -> tuple[list[Row], dict[str, Any]]:
    """The settings of this grid, the best first, and what is shown of them."""
    entries = [record.cells[row.identity] for row in rows]
    found = places([entry["values"] for entry in entries], record.floor, record.scores)
    order = sorted(range(len(rows)), key=lambda i: (*found[i].key, entries[i]["evaluations"]))
    settings = [_setting(rows[i], entries[i], found[i]) for i in order]
    content = {
        "settings": settings,
        "floor": record.floor,
        "scores": record.scores,
        "basis": record.basis,
        "rule": RULE,
        "notes": [*record.notes, *(f"{entry['title']} {entry['note']}" for entry in entries if entry["note"])],
    }
    return [rows[i] for i in order], content


def _setting(row: Row, entry: Mapping[str, Any], place: Place) -> dict[str, Any]:
    return {
        **entry,
        "checkpoint": row.cell.checkpoint.name,
        "inference": row.cell.inference,
        "excess": place.excess if math.isfinite(place.excess) else None,
        "ratios": place.ratios,
        "alarms": list(place.alarms),
    }


def _cell(value: Any) -> Any:
    """A value in the table."""
    if isinstance(value, list):
        return "-".join(f"{part:g}" for part in value)
    return "" if value is None else value


def _replace(path: Path, text: str) -> None:
    with disk_errors(path, REMEDY):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            scratch.write_text(text, encoding="utf-8")
