"""The three sets of the table as window datasets: every window of 24 rows, features in [0, 1]."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sd_core.errors import SdError
from sd_core.plugin import SignalInfo
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_core.windows.writing import write_windows

Array = NDArray[np.float32]

LENGTH = 24
SINES = 10_000
"""Windows of the generated set."""
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Series:
    """Windows of one set and how they hang together."""

    windows: Array
    """(n, LENGTH, features), each feature in [0, 1]."""
    features: tuple[str, ...]
    reach: int
    """Windows whose numbers differ by less than this overlap; 1 where all are independent."""


def sines(count: int = SINES, features: int = 5, seed: int = 0) -> Series:
    """Windows of sin(f j + p) per feature, f and p uniform in [0, .1], mapped from [-1, 1] to [0, 1]."""
    frequency, phase = np.random.default_rng(seed).uniform(0, 0.1, (2, count, 1, features))
    wave = np.sin(frequency * np.arange(LENGTH)[:, None] + phase)
    names = tuple(f"sine {number}" for number in range(features))
    return Series(np.asarray((wave + 1) / 2, dtype=np.float32), names, reach=1)


def table(path: Path) -> Series:
    """All stride-1 windows of a csv of numbers, a column `date` left out, min-max per column over all rows.

    Raises:
        SdError: the file is not there, holds something else than numbers or a constant column, or is shorter than
            a window.
    """
    if not path.is_file():
        raise SdError(f"there is no table at '{path}'; name the folder with --tables or SIGNAL_DIFFUSION_DATA")
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    kept = [column for column, name in enumerate(names) if name.lower() != "date"]
    try:
        values = np.array([[float(row[column]) for column in kept] for row in rows])
    except ValueError as error:
        raise SdError(f"'{path}' must hold numbers in every column but 'date': {error}") from error
    if len(values) < LENGTH:
        raise SdError(f"'{path}' has {len(values)} rows, fewer than the {LENGTH} of a window")
    low, high = values.min(0), values.max(0)
    if constant := [names[column] for column, span in zip(kept, high - low, strict=True) if not span]:
        raise SdError(f"the column '{constant[0]}' of '{path}' is constant and cannot be scaled to [0, 1]; remove it")
    scaled = np.asarray((values - low) / (high - low), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, LENGTH, axis=0).transpose(0, 2, 1)
    return Series(windows, tuple(names[column] for column in kept), reach=LENGTH)


SETS = {"sines": None, "stocks": "stock_data.csv", "etth": "ETTh1.csv"}
"""Set -> its file among the tables; None is generated."""


def series(name: str, tables: Path) -> Series:
    """The windows of a set by name."""
    file = SETS[name]
    return sines() if file is None else table(tables / file)


def tables_folder() -> Path:
    """Where the tables stand: `tables` under SIGNAL_DIFFUSION_DATA, else under shared/data beside the repository."""
    named = os.environ.get("SIGNAL_DIFFUSION_DATA")
    return (Path(named) if named else _REPOSITORY.parent / "shared" / "data") / "tables"


def write(name: str, content: Series, out: Path) -> None:
    """Write a set as a window dataset of one split, `train`: the protocol tests on what was trained on.

    A feature is a channel; values have no unit, and the sampling rate is one row.
    """
    info = SignalInfo(channel_names=content.features, n_samples=LENGTH, sfreq=1.0, reference="none")
    write_windows(out, {"train": _rows(name, content)}, info, {"unit": "1", "corpus": name})


def _rows(name: str, content: Series) -> Iterator[dict[str, Any]]:
    for number, window in enumerate(content.windows):
        yield {"signal": window.T, "recording": name, "start_s": float(number)}


def read(folder: Path) -> Array:
    """The windows of a dataset that `write` made, (n, LENGTH, features)."""
    source = open_split(folder, "train")
    assert isinstance(source, WindowSet)
    return source.signals(range(len(source))).transpose(0, 2, 1)
