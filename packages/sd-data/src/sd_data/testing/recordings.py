"""Made-up recordings for the tests of corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np

from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_data.build.electrodes import CLASSICAL_19

SPLITS = ("train", "validation", "test")
WHOLE = "--set=split=[1,0,0]"


def eeg(seed: int, channels: int = 19, seconds: float = 20, sfreq: float = 125.0) -> Any:
    """(channels, samples) microvolts of noise."""
    return 12 * np.random.default_rng(seed).standard_normal((channels, round(seconds * sfreq)))


def write_edf(path: Path, signals: Any, names: tuple[str, ...] = CLASSICAL_19, sfreq: float = 125.0) -> None:
    """An EDF file, 0.012 uV a step."""
    parts = [
        edfio.EdfSignal(row, sfreq, label=name, physical_dimension="uV", physical_range=(-400, 400))
        for name, row in zip(names, signals, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(parts, data_record_duration=1).write(path)


def raw_of(signals: Any, names: tuple[str, ...] = CLASSICAL_19, sfreq: float = 125.0) -> mne.io.RawArray:
    """The same for MNE."""
    return mne.io.RawArray(signals / 1e6, mne.create_info(list(names), sfreq, "eeg"), verbose="error")


def windows(out: Path, split: str = "train") -> WindowSet:
    """One split of a dataset that was built."""
    found = open_split(out, split)
    assert isinstance(found, WindowSet)
    return found


def everything(out: Path, column: str) -> list[Any]:
    """A column over all splits."""
    there = [split for split in SPLITS if (out / split).is_dir()]
    return [value for split in there for value in windows(out, split).column(column)]
