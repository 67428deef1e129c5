"""Core's own exporters: generated windows as one NumPy archive, or as a dataset that trains the next model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sd_core.disk import disk_errors, whole_file
from sd_core.options import NoOptions
from sd_core.task import Windows
from sd_core.windows.writing import refuse_existing, write_windows


class Npz:
    """`windows.npz`: signal (n, channels, samples), labels, geometry and provenance; opens without pickle."""

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, windows: Windows, out: Path, provenance: Mapping[str, Any]) -> Sequence[Path]:
        """Write into folder `out`, replacing an archive of an earlier call.

        A label column such as "age" is stored as the array `column_age`: numbers as float64 with NaN
        for missing, everything else as text with "" for missing. There is no array `unit` where the
        training data did not say theirs.

        Raises:
            SdError: the folder cannot be written.
        """
        info = windows.info
        more: dict[str, Any] = {f"column_{name}": _array(values) for name, values in windows.columns.items()}
        if info.unit:
            more["unit"] = np.str_(info.unit)
        path = out / "windows.npz"
        with disk_errors(path):
            out.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as scratch:
                np.savez_compressed(
                    scratch,
                    signal=windows.signal,
                    channel_names=np.array(info.channel_names, dtype=str),
                    sfreq=np.float64(info.sfreq),
                    reference=np.str_(info.reference),
                    synthetic=np.bool_(True),
                    provenance=np.str_(json.dumps(dict(provenance), default=str)),
                    **more,
                )
        return [path]


class WindowDataset:
    """A window dataset with one split, "train", marked synthetic: `[dataset] name` may name it."""

    def __init__(self, options: NoOptions) -> None:
        del options

    def check(self, out: Path) -> None:
        """Refuse a folder that exists: a dataset is never replaced."""
        refuse_existing(out)

    def __call__(self, windows: Windows, out: Path, provenance: Mapping[str, Any]) -> Sequence[Path]:
        """Write the folder `out`, which must not exist.

        Every window has a `corpus` ("synthetic") and a `recording`, so that it stays recognisable when
        datasets are joined.

        Raises:
            SdError: the folder exists or cannot be written.
        """
        write_windows(out, {"train": _rows(windows)}, windows.info, {"synthetic": True, "provenance": dict(provenance)})
        return [out]


def _array(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """A label column without objects, so that it opens without pickle."""
    if any(isinstance(value, (int, float)) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.array(["" if value is None else str(value) for value in values], dtype=str)


def _rows(windows: Windows) -> Iterator[dict[str, Any]]:
    for number, signal in enumerate(windows.signal):
        labels = {name: values[number] for name, values in windows.columns.items()}
        yield {"signal": signal, **labels, "corpus": "synthetic", "recording": f"generated-{number:06d}"}
