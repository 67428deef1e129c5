"""EDF+ files, a window each, and a table of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edfio
import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import NoOptions, SdError, SignalInfo, Windows
from sd_core.windows.writing import refuse_existing
from sd_data.export.folder import whole_folder
from sd_data.export.marking import GENERATOR, labels_of, statement
from sd_data.export.measurement import in_volts, refuse_no_potentials

TABLE = "recordings.csv"
RECORD_BYTES = 61_440
"""Largest data record that the format recommends."""
FIELD = 8
"""Characters of a number in an EDF header."""


class Edf:
    """`window-000000.edf`, ...: 16 bits per sample, so values are right to half a step, (max - min) / 131070.

    Potentials are written in microvolts, whatever the unit of the windows: readers such as MNE take a dimension that
    they do not know for volts. The range is that of the channel in the window, rounded outward to .01 uV. Patient and
    recording fields say "synthetic"; the first annotation holds the provenance, the second the labels.
    `recordings.csv` names every file and its labels, as `sd-data build files` reads them: every window has a
    subject of its own, and the class stands for the state where that was not asked for.
    """

    def __init__(self, options: NoOptions) -> None:
        del options

    def check(self, out: Path) -> None:
        """Refuse a folder that exists: files of another drawing would stay among the new ones."""
        refuse_existing(out)

    def __call__(self, windows: Windows, out: Path, provenance: Mapping[str, Any]) -> Sequence[Path]:
        """Write the folder `out`, which must not exist.

        Raises:
            SdError: it exists or cannot be written, the windows are no potentials, or EDF has no room for a channel's
                name, for the rate or for a value.
        """
        refuse_existing(out)
        refuse_no_potentials(windows.info, "EDF")
        _refuse_names(windows.info.channel_names)
        record = record_duration(windows.info)
        names = [f"window-{number:06d}.edf" for number in range(len(windows))]
        with whole_folder(out) as folder:
            for number, name in enumerate(names):
                edf(windows, number, record, provenance).write(folder / name)
            _write_table(folder / TABLE, names, windows)
        return [out / TABLE, *(out / name for name in names)]


def edf(windows: Windows, number: int, record: float, provenance: Mapping[str, Any]) -> edfio.Edf:
    """One window as a file in memory, in data records of that many seconds."""
    info = windows.info
    microvolts = in_volts(windows.signal[number], info.unit) * 1e6
    signals = [
        edfio.EdfSignal(
            channel,
            info.sfreq,
            label=name,
            transducer_type="synthetic",
            physical_dimension="uV",
            physical_range=_range(channel, name, number),
        )
        for name, channel in zip(info.channel_names, microvolts, strict=True)
    ]
    labels = {"window": number, **labels_of(windows, number)}
    return edfio.Edf(
        signals,
        patient=edfio.Patient(code="synthetic", name="synthetic"),
        recording=edfio.Recording(equipment_code=GENERATOR.replace(" ", "_"), additional=["synthetic"]),
        data_record_duration=record,
        annotations=[
            edfio.EdfAnnotation(0, None, statement(provenance)),
            edfio.EdfAnnotation(0, None, "; ".join(f"{key}={_word(value)}" for key, value in labels.items())),
        ],
    )


def record_duration(info: SignalInfo) -> float:
    """Seconds of a data record: the longest that divides a window and fits the header, of recommended size.

    Raises:
        SdError: there is none.
    """
    most = max(1, RECORD_BYTES // (2 * info.n_channels))
    divisors = [size for size in range(1, info.n_samples + 1) if info.n_samples % size == 0]
    fitting = [size for size in divisors if _fits(size, info.sfreq)]
    if not fitting:
        raise SdError(
            f"EDF cannot hold windows of {info.n_samples} samples at {info.sfreq:g} Hz without padding: use --to fif"
        )
    return max((size for size in fitting if size <= most), default=min(fitting)) / info.sfreq


def _fits(size: int, sfreq: float) -> bool:
    """Whether the duration of that many samples is exact in a header field."""
    duration = size / sfreq
    return len(f"{duration!r}") <= FIELD and duration * sfreq == size


def _refuse_names(names: Sequence[str]) -> None:
    unfit = [name for name in names if len(name) > 16 or not (name.isascii() and name.isprintable())]
    if unfit:
        raise SdError(f"EDF takes channel names of up to 16 ASCII characters, not '{unfit[0]}': use --to fif")


def _range(channel: NDArray[np.float64], name: str, number: int) -> tuple[float, float]:
    """Smallest and largest value in microvolts, rounded outward to .01; a flat channel has a range too."""
    if not np.isfinite(channel).all():
        raise SdError(f"window {number} holds NaN or infinite samples in {name}; EDF cannot hold them")
    low, high = math.floor(channel.min() * 100) / 100, math.ceil(channel.max() * 100) / 100
    return low, max(high, low + 0.01)


def _word(value: Any) -> str:
    return "n/a" if value is None else str(value)


def _write_table(path: Path, names: Sequence[str], windows: Windows) -> None:
    columns = dict(windows.columns)
    if "label" in columns and "state" not in columns:
        columns["state"] = columns.pop("label")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "subject", *columns])
        for number, name in enumerate(names):
            row = [values[number] for values in columns.values()]
            table.writerow([name, f"synthetic{number:06d}", *("" if value is None else value for value in row)])
