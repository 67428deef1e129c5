"""A corpus of recorded files: from what was found to the dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sd_data.build.assembling import Plan, build_corpus
from sd_data.build.electrodes import expand
from sd_data.build.processing import FileProcess, read_file
from sd_data.build.recordings import Recording, Signals
from sd_data.options import RecordingOptions


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a corpus of recorded files knows, beside its options."""

    corpus: str
    recordings: Sequence[Recording]
    channels: tuple[str, ...]
    """The corpus's own, taken where the options name none."""
    source: str
    """Where the recordings come from, for people."""
    licence: str = ""
    """Under which they are given out; empty where that is not known."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Recordings that were left out from the start -> why."""
    read: Callable[[Recording], Signals] = read_file
    line_from_file: bool = False
    """Take the notch from the file, where it says the power line's frequency."""

    def build(self, options: RecordingOptions, out: Path) -> None:
        """Write the window dataset to the folder `out`, which does not exist yet.

        Raises:
            SdError: a recording cannot be used, or the subjects do not fill the splits.
        """
        channels = expand(options.channels, self.channels)
        licence = {"licence": self.licence} if self.licence else {}
        plan = Plan(
            corpus=self.corpus,
            recordings=self.recordings,
            channels=channels,
            process=FileProcess(channels, options, self.read, line_from_file=self.line_from_file),
            options=options,
            skip_bad=options.skip_bad,
            skipped=self.skipped,
            workers=options.workers,
            about={"source": self.source, **licence, "synthetic": False},
        )
        build_corpus(out, plan)
