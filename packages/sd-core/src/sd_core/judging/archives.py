"""Windows in NumPy archives, as `sd-sample --to npz` writes them or anybody else in the same words."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sd_core.errors import SdError
from sd_core.judging.judge import subset
from sd_core.judging.samples import Samples
from sd_core.task import SignalInfo, Windows

_NEEDED = ("signal", "channel_names", "sfreq")
_COLUMN = "column_"
"""Begins the name of an array that holds labels."""


def read_archives(files: Sequence[Path], named: str) -> Samples:
    """All archives as one set; they are read at once, being compressed.

    Args:
        files: At least one.
        named: What messages call the set.

    Raises:
        SdError: one cannot be read, lacks an array, or they are not of one kind.
    """
    read = [_read_archive(file) for file in files]
    for file, one in zip(files, read, strict=True):
        if (one.info, one.unit) != (read[0].info, read[0].unit):
            raise SdError(
                f"{named}: {file.name} holds {one.info} in {one.unit}, {files[0].name} {read[0].info} in "
                f"{read[0].unit} ({', '.join(read[0].info.channel_names)}); name them one at a time"
            )
    every = [one.read(np.arange(one.count)) for one in read]
    shared = [name for name in every[0].columns if all(name in windows.columns for windows in every)]
    whole = Windows(
        signal=np.concatenate([windows.signal for windows in every]),
        info=read[0].info,
        columns={name: [value for windows in every for value in windows.columns[name]] for name in shared},
    )
    alike = all(one.provenance == read[0].provenance for one in read)
    return replace(
        read[0],
        named=named,
        provenance=read[0].provenance if alike else {},
        count=len(whole),
        read=lambda rows: subset(whole, rows),
    )


def _read_archive(file: Path) -> Samples:
    """What `sd-sample --to npz` writes, or anybody else in the same words."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SdError(f"'{file}' cannot be read: {str(error).splitlines()[0] if str(error) else 'damaged'}") from error
    if lacking := [name for name in _NEEDED if name not in arrays]:
        raise SdError(
            f"'{file}' has no array {' and no '.join(map(repr, lacking))}: an archive of windows holds signal "
            "(windows, channels, samples) in microvolts, channel_names and sfreq in Hz"
        )
    signal = arrays["signal"]
    if signal.ndim != 3 or signal.dtype.kind not in "fiu":
        raise SdError(f"'{file}': signal is {signal.dtype} {signal.shape}, not numbers (windows, channels, samples)")
    if arrays["channel_names"].shape != signal.shape[1:2]:
        raise SdError(f"'{file}' names {arrays['channel_names'].size} channels for signals of {signal.shape[1]}")
    if not len(signal):
        raise SdError(f"'{file}' holds no windows")
    if not np.isfinite(signal).all():
        raise SdError(f"'{file}' holds NaN or infinite samples; leave those windows out")
    info = SignalInfo(
        channel_names=tuple(map(str, arrays["channel_names"])),
        n_samples=signal.shape[2],
        sfreq=_number(file, arrays["sfreq"]),
        reference=str(arrays.get("reference", "unknown")),
        unit=str(arrays.get("unit", "")),
    )
    columns = {
        name.removeprefix(_COLUMN): _labels(values)
        for name, values in arrays.items()
        if _is_column(name, values, len(signal))
    }
    windows = Windows(signal=signal.astype(np.float32, copy=False), info=info, columns=columns)
    return Samples(
        named=f"'{file}'",
        info=info,
        provenance=_provenance(arrays),
        synthetic=bool(arrays.get("synthetic", False)),
        count=len(windows),
        read=lambda rows: subset(windows, rows),
    )


def _number(file: Path, value: NDArray[Any]) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not float(value.item()) > 0:
        raise SdError(f"'{file}': sfreq must be one number of Hz")
    return float(value.item())


def _is_column(name: str, values: NDArray[Any], count: int) -> bool:
    return name.startswith(_COLUMN) and values.shape == (count,)


def _labels(values: NDArray[Any]) -> list[Any]:
    """As a dataset gives them: None for missing."""
    if np.issubdtype(values.dtype, np.floating):
        return [None if np.isnan(value) else float(value) for value in values]
    return [None if value == "" else value for value in values.tolist()]


def _provenance(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    try:
        found = json.loads(str(arrays.get("provenance", "{}")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
