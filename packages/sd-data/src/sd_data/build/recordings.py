"""What a corpus says about its recordings, and what is in one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError
from sd_data.build.edf import WIDTHS, refuse_damaged

if TYPE_CHECKING:
    from mne.io import BaseRaw

READ_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    IndexError,
    KeyError,
    NotImplementedError,
    AssertionError,
    AttributeError,
    TypeError,
    struct.error,
)
"""What MNE's readers raise for damaged files."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording, or one stretch of it, and its labels; `path` is None where it is generated."""

    corpus: str
    subject: str
    session: str
    name: str
    state: str
    gender: str | None
    health: str | None
    age: float | None
    path: Path | None = None
    beside: tuple[Path, ...] = ()
    """Other files that say what the samples are: headers, positions, lists of bad channels."""
    span: tuple[float, float] | None = None
    """(start, stop) in seconds, where only a stretch of the file is meant."""
    caption: str | None = None
    """Instead of the one made of the labels."""


@dataclass(frozen=True)
class Signals:
    """The samples of a recording."""

    names: tuple[str, ...]
    data: NDArray[np.float64]
    """(channels, samples), microvolts."""
    sfreq: float
    bad_spans: tuple[tuple[float, float], ...] = ()
    """(start, stop) in seconds of stretches annotated as bad."""
    bad_names: tuple[str, ...] = ()
    """Channels that the file marks as bad."""
    line_hz: float | None = None
    """Frequency of the power line, where the file says it."""
    interpolated: tuple[str, ...] = ()
    """Electrodes computed from the others."""


@dataclass
class Outcome:
    """What became of one recording."""

    recording: Recording
    windows: list[dict[str, Any]] = field(default_factory=list)
    """Rows for `write_windows`, without captions."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason -> number of windows."""
    interpolated: tuple[str, ...] = ()
    """Electrodes that were not recorded, but computed from the others."""
    unused: tuple[str, ...] = ()
    """Electrodes on the scalp that were recorded, and that no window holds."""
    problem: str | None = None
    """Why the recording cannot be used at all."""
    kept: Path | None = None
    """File that holds the windows instead."""
    reused: bool = False
    """Whether an earlier build made that file."""


def read_signals(path: Path, span: tuple[float, float] | None = None) -> Signals:
    """All channels of a file that MNE can read.

    Args:
        path: The file, or the header file where there are several.
        span: (start, stop) in seconds; only this stretch is read.

    Raises:
        SdError: the file is cut short, mixes rates, ends before the stretch, or cannot be read.
    """
    import mne

    with reading(path):
        if path.suffix.lower() in WIDTHS:
            refuse_damaged(path)
        return signals_of(mne.io.read_raw(path, preload=False, verbose="error"), str(path), span)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what readers raise for damaged files into a sentence that names the file."""
    try:
        yield
    except READ_ERRORS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SdError(f"'{path}' cannot be read: {reason}") from error


def signals_of(raw: BaseRaw, where: str, span: tuple[float, float] | None = None) -> Signals:
    """The samples and what is known about them, read from the file once and held once.

    Args:
        raw: As MNE opens it, not loaded.
        where: The file, for the message.
        span: (start, stop) in seconds.

    Raises:
        SdError: the file ends before the stretch does.
    """
    sfreq, start = float(raw.info["sfreq"]), 0.0
    if span is None:
        data = raw.get_data()
    else:
        start, stop = span
        if raw.n_times < round(stop * sfreq):
            raise SdError(f"'{where}' ends at {raw.n_times / sfreq:g} s, before its stretch {start:g}-{stop:g} s does")
        data = raw.get_data(start=round(start * sfreq), stop=round(stop * sfreq))
    data *= 1e6
    # Onsets count from the first sample, or from the start of the clock where there is one.
    zero = start + (float(raw.first_time) if raw.annotations.orig_time is not None else 0.0)
    bad = [
        (float(onset) - zero, float(onset + duration) - zero)
        for onset, duration, what in zip(
            raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
        )
        if str(what).lower().startswith("bad")
    ]
    line = raw.info.get("line_freq")
    return Signals(
        names=tuple(raw.ch_names),
        data=data,
        sfreq=sfreq,
        bad_spans=tuple(bad),
        bad_names=tuple(raw.info["bads"]),
        line_hz=None if line is None else float(line),
    )
