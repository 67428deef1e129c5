"""One recording, from its file to its windows: what workers do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sd_core.plugin import SdError
from sd_data.build.cleaning import clean
from sd_data.build.cutting import cut
from sd_data.build.electrodes import unused
from sd_data.build.recordings import Outcome, Recording, Signals, read_signals
from sd_data.options import RecordingOptions


def read_file(recording: Recording) -> Signals:
    """The samples of the recording's file, as MNE reads it.

    Raises:
        SdError: the file cannot be read.
    """
    assert recording.path is not None
    return read_signals(recording.path, recording.span)


@dataclass(frozen=True)
class FileProcess:
    """Reads, cleans and cuts one file; picklable, for workers."""

    channels: tuple[str, ...]
    options: RecordingOptions
    read: Callable[[Recording], Signals] = read_file
    """A function of a module, for workers find it by its name."""
    line_from_file: bool = False
    """Take the notch from the file, where it says the power line's frequency."""

    def __call__(self, recording: Recording, overlap: float) -> Outcome:
        """The windows of a recording, or why it has none."""
        where = f"'{recording.path}'" if recording.span is None else f"'{recording.path}' ({recording.name})"
        options = self.options
        try:
            raw = self.read(recording)
            if self.line_from_file and raw.line_hz is not None:
                options = options.model_copy(update={"notch_hz": raw.line_hz})
            signals, before = clean(raw, self.channels, options, where, interpolate=options.interpolate)
            windows, rejected = cut(signals, before, options, overlap=overlap, where=where)
        except SdError as error:
            return Outcome(recording, problem=str(error))
        rows = [{"signal": window, "start_s": start} for start, window in windows]
        return Outcome(recording, rows, rejected, signals.interpolated, unused(raw.names, self.channels))
