"""One recording, from its file to its windows: what workers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sd_core.plugin import SdError
from sd_data.build.cleaning import clean
from sd_data.build.cutting import cut
from sd_data.build.electrodes import UNNAMED, banked, canonical, of_cap, unused
from sd_data.build.recordings import Outcome, Recording, Signals, read_signals
from sd_data.options import RecordingOptions


def read_file(recording: Recording) -> Signals:
    """The samples of the recording's file, as MNE reads it.

    Raises:
        SdError: the file cannot be read.
    """
    assert recording.path is not None
    return read_signals(recording.path, recording.span)


def called(signals: Signals, names: Mapping[str, str]) -> Signals:
    """The same with channels under the names that the option `names` gives them; case does not count.

    A channel without one whose name is now another's, or is of a bank of BioSemi's, loses it: what is called C3 there
    is not the C3 of the 10-20 system. As an electrode of a cap it stays in the average of all.
    """
    if not names:
        return signals
    ours = {name.strip().lower(): our for name, our in names.items()}
    taken, banks = {canonical(our) for our in names.values()}, banked(signals.names)
    cap = {signals.names[place] for place in of_cap(signals.names)}

    def one(name: str) -> str:
        if name.strip().lower() in ours:
            return ours[name.strip().lower()]
        if name in cap:
            return f"{name}{UNNAMED}"
        return f"{name} (unnamed)" if banks or canonical(name) in taken else name

    bad = tuple(map(one, signals.bad_names))
    return replace(signals, names=tuple(map(one, signals.names)), bad_names=bad)


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
            raw = called(self.read(recording), options.names)
            if options.scale != 1:
                raw = replace(raw, data=raw.data * options.scale)
            if self.line_from_file and raw.line_hz is not None:
                options = options.model_copy(update={"notch_hz": raw.line_hz})
            signals, before = clean(raw, self.channels, options, where, interpolate=options.interpolate)
            windows, rejected = cut(signals, before, options, overlap=overlap, where=where)
        except SdError as error:
            return Outcome(recording, problem=str(error))
        rows = [{"signal": window, "start_s": start} for start, window in windows]
        return Outcome(recording, rows, rejected, signals.interpolated, unused(raw.names, self.channels))
