"""Miniature window datasets for tests: noise that electrodes share, in the shape of EEG, with every label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sd_core.task import SignalInfo
from sd_core.windows.writing import write_windows

MINIATURE = SignalInfo(channel_names=("Fz", "Cz", "Pz", "A2-A1"), n_samples=256, sfreq=125.0, reference="average")
"""Geometry of the miniature windows unless a test needs another."""
CLASSES = {"label": ("rest", "arithmetic")}


def made_up_rows(count: int, info: SignalInfo = MINIATURE, *, first_subject: int = 0) -> Iterator[dict[str, Any]]:
    """Rows as `write_windows` takes them: two windows a subject, labels in turn, the third age missing."""
    rng = np.random.default_rng(first_subject)
    for number in range(count):
        subject, state = first_subject + number // 2, CLASSES["label"][number % 2]
        yield {
            "signal": _noise(rng, info),
            "corpus": "miniature",
            "subject": f"S{subject:03d}",
            "session": "1",
            "recording": f"S{subject:03d}_{state}",
            "start_s": 0.0,
            "state": state,
            "gender": "FM"[subject % 2],
            "health": ("H", "PD")[subject // 2 % 2],
            "age": None if number == 2 else 20.0 + subject,
            "caption": f"EEG, {state}",
            "description": f"A window of EEG, {state}.",
            "label": state,
        }


def _noise(rng: np.random.Generator, info: SignalInfo) -> NDArray[np.float32]:
    common = rng.standard_normal(info.n_samples, dtype=np.float32)
    own = rng.standard_normal((info.n_channels, info.n_samples), dtype=np.float32)
    return 10 * common + 2 * own


def write_miniature(out: Path, info: SignalInfo = MINIATURE, *, train: int = 12, held_out: int = 4) -> Path:
    """A dataset of made-up windows with the splits train, validation and test; returns `out`."""
    splits = {
        "train": made_up_rows(train, info),
        "validation": made_up_rows(held_out, info, first_subject=500),
        "test": made_up_rows(held_out, info, first_subject=700),
    }
    write_windows(out, splits, info, {"corpus": "miniature"}, classes=CLASSES)
    return out
