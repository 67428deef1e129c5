"""What a corpus says about its recordings, and what is in one."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError

_READ_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    IndexError,
    KeyError,
    NotImplementedError,
    AssertionError,
    struct.error,
)
"""What MNE's readers raise for damaged files."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording and its labels; `path` is None where it is generated."""

    corpus: str
    subject: str
    session: str
    name: str
    state: str
    gender: str | None
    health: str | None
    age: float | None
    path: Path | None = None


@dataclass(frozen=True)
class Signals:
    """The samples of a recording."""

    names: tuple[str, ...]
    data: NDArray[np.float64]
    """(channels, samples), microvolts."""
    sfreq: float
    bad_spans: tuple[tuple[float, float], ...] = ()
    """(start, stop) in seconds of stretches annotated as bad."""


@dataclass
class Outcome:
    """What became of one recording."""

    recording: Recording
    windows: list[dict[str, Any]] = field(default_factory=list)
    """Rows for `write_windows`, without captions."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason -> number of windows."""
    problem: str | None = None
    """Why the recording cannot be used at all."""


def read_signals(path: Path) -> Signals:
    """All EEG channels of a file that MNE can read.

    Raises:
        SdError: the file is cut short, or cannot be read.
    """
    import mne

    try:
        refuse_truncated(path)
        raw = mne.io.read_raw(path, preload=True, verbose="error")
        names, data = tuple(raw.ch_names), raw.get_data() * 1e6
    except _READ_ERRORS as error:
        raise SdError(f"'{path}' cannot be read: {error}") from error
    bad = [
        (float(onset), float(onset + duration))
        for onset, duration, what in zip(
            raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
        )
        if str(what).lower().startswith("bad")
    ]
    return Signals(names=names, data=data, sfreq=float(raw.info["sfreq"]), bad_spans=tuple(bad))


def refuse_truncated(path: Path) -> None:
    """Compare the size of an EDF or BDF file with what its header promises; MNE reads what is left.

    Raises:
        SdError: bytes are missing.
    """
    width = {".edf": 2, ".bdf": 3}.get(path.suffix.lower())
    if width is None:
        return
    with path.open("rb") as file:
        header = file.read(256)
        if len(header) < 256:
            raise SdError(f"'{path}' is cut short: it ends inside its header")
        header_bytes, records, channels = int(header[184:192]), int(header[236:244]), int(header[252:256])
        # Samples per record stand behind 216 bytes of other fields of every channel (EDF, Kemp 1992).
        file.seek(256 + 216 * channels)
        fields = file.read(8 * channels)
    samples = sum(int(fields[8 * i : 8 * i + 8] or 0) for i in range(channels))
    promised, there = header_bytes + records * samples * width, path.stat().st_size
    if records >= 0 and there < promised:  # -1: a recording that was never closed
        raise SdError(f"'{path}' is cut short: {there} bytes of {promised}; get the file again")
