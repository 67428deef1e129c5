"""The story of a corpus: subjects to splits, recordings to windows, windows to disk."""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sd_core.plugin import SdError, SignalInfo
from sd_core.windows.writing import refuse_existing, write_windows
from sd_data.build.captions import captions
from sd_data.build.keeping import Keeping, Process, windows_of, workplace
from sd_data.build.labels import refuse_contradictions
from sd_data.build.recordings import Outcome, Recording
from sd_data.build.splitting import split_subjects
from sd_data.build.working import outcomes, pool_of
from sd_data.options import CorpusOptions

_log = logging.getLogger(__name__)
CLASSES = {"state": ("rest", "arithmetic"), "gender": ("F", "M"), "health": ("H", "PD")}
"""Values of the columns that may become the label, in index order."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about a corpus but its samples."""

    corpus: str
    recordings: Sequence[Recording]
    channels: tuple[str, ...]
    process: Process
    options: CorpusOptions
    skip_bad: bool = False
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Recordings that were left out from the start -> why."""
    workers: int = 1
    about: Mapping[str, Any] = field(default_factory=dict)
    """For `windows.json`: source, licence."""


def build_corpus(out: Path, plan: Plan) -> None:
    """Write the corpus as a window dataset.

    Recordings of files are kept one by one beside `out` until the dataset stands, so a killed build goes on
    where it was.

    Raises:
        SdError: `out` exists, the subjects do not fill the splits, or a recording cannot be used.
    """
    refuse_existing(out)
    refuse_contradictions(plan.recordings)
    groups = {recording.subject: (recording.gender, recording.health) for recording in plan.recordings}
    subjects = split_subjects(groups, plan.options.split, plan.options.split_seed)
    classes = label_classes(plan)
    if all(recording.path is None for recording in plan.recordings):
        _write(out, plan, subjects, classes)
        return
    with workplace(out) as work:
        _write(work / "dataset", replace(plan, process=Keeping(plan.process, work, _facts(plan))), subjects, classes)
        refuse_existing(out)
        (work / "dataset").rename(out)


def _write(out: Path, plan: Plan, subjects: Mapping[str, Sequence[str]], classes: tuple[str, ...]) -> None:
    with _progress(plan) as advance, pool_of(plan.workers) as pool:
        work = _Build(plan, _info(plan), pool, advance)
        work.report["skipped"] |= plan.skipped
        splits = {split: work.rows(split, frozenset(members)) for split, members in subjects.items()}
        meta = _meta(plan, subjects, work.report)
        write_windows(out, splits, work.info, meta, classes={"label": classes})
    if work.reused:
        _log.warning("%d recordings were finished by an earlier build", work.reused)


def label_classes(plan: Plan) -> tuple[str, ...]:
    """Values of the label in index order: those every corpus shares, then the corpus's own by name.

    Raises:
        SdError: no recording has any.
    """
    column = plan.options.label_from
    there = {str(value) for recording in plan.recordings if (value := getattr(recording, column)) is not None}
    known = CLASSES[column]
    if not there:
        raise SdError(f"label_from is {column}, but no recording says its {column}: choose another column")
    return known if there <= set(known) else (*(name for name in known if name in there), *sorted(there - set(known)))


def _facts(plan: Plan) -> str:
    """What the windows of a recording depend on beside its files: not its labels, nor who else is there."""
    apart = {"source", "workers", "skip_bad", "split", "split_seed", "label_from", "overlap", "license"}
    options = plan.options.model_dump(mode="json", exclude=apart)
    return json.dumps([plan.corpus, plan.channels, options, _software()], sort_keys=True)


def _info(plan: Plan) -> SignalInfo:
    options = plan.options
    return SignalInfo(
        channel_names=plan.channels, n_samples=options.n_samples, sfreq=options.sfreq, reference=options.reference
    )


@contextmanager
def _progress(plan: Plan) -> Iterator[Callable[[], None]]:
    """A bar on terminals, gone when it is full; calling what it yields counts one recording."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"building corpus {plan.corpus}", total=len(plan.recordings))
        yield lambda: progress.advance(task)


_PARTS = ("rejected", "skipped", "interpolated", "unused")
"""Of the report: reason -> windows, recording -> why, recording -> electrodes, electrode -> recordings."""


@dataclass
class _Build:
    """One build under way."""

    plan: Plan
    info: SignalInfo
    pool: Executor | None
    advance: Callable[[], None]
    report: dict[str, Any] = field(
        default_factory=lambda: {
            "recordings": 0,
            "windows": 0,
            "rejected": {},
            "skipped": {},
            "interpolated": {},
            "unused": {},
        }
    )
    reused: int = 0
    """Recordings that an earlier build finished."""

    def rows(self, split: str, subjects: frozenset[str]) -> Iterator[dict[str, Any]]:
        """The rows of one split, recording by recording; keeps the report.

        Raises:
            SdError: a recording cannot be used, every window of the split is rejected, or every recording left out.
        """
        recordings = [recording for recording in self.plan.recordings if recording.subject in subjects]
        overlap = self.plan.options.overlap if split == "train" else 0.0
        found = outcomes(self.plan.process, recordings, overlap, pool=self.pool, workers=self.plan.workers)
        kept, rejected = 0, Counter[str]()
        left_out: list[str] = []
        for outcome in found:
            self.advance()
            self._count(outcome)
            rejected.update(outcome.rejected)
            left_out += [outcome.problem] if outcome.problem is not None else []
            for window in windows_of(outcome):
                kept += 1
                self.report["windows"] += 1
                yield _row(outcome.recording, self.info, window, self.plan.options.label_from)
        if rejected and not kept:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
            raise SdError(
                f"the split '{split}' has no windows: all were rejected ({reasons}); give it other recordings, or "
                "choose other limits, channels or another reference"
            )
        if left_out and not kept:
            raise SdError(
                f"the split '{split}' has no windows: all its recordings were left out ({len(left_out)}), the first "
                f"because {left_out[0]}"
            )

    def _count(self, outcome: Outcome) -> None:
        if outcome.problem is not None:
            if not self.plan.skip_bad:
                raise SdError(f"{outcome.problem} (--skip-bad leaves such recordings out)")
            self.report["skipped"][outcome.recording.name] = outcome.problem
            return
        self.report["recordings"] += 1
        self.reused += outcome.reused
        self.report["rejected"] = dict(Counter(self.report["rejected"]) + Counter(outcome.rejected))
        self.report["unused"] = dict(Counter(self.report["unused"]) + Counter(outcome.unused))
        if outcome.interpolated:
            self.report["interpolated"][outcome.recording.name] = list(outcome.interpolated)


def _row(recording: Recording, info: SignalInfo, window: dict[str, Any], label_from: str) -> dict[str, Any]:
    caption, description = captions(recording, info)
    return {
        "signal": window["signal"],
        "corpus": recording.corpus,
        "subject": recording.subject,
        "session": recording.session,
        "recording": recording.name,
        "start_s": window["start_s"],
        "state": recording.state,
        "gender": recording.gender,
        "health": recording.health,
        "age": recording.age,
        "caption": recording.caption or caption,
        "description": description,
        "label": getattr(recording, label_from),
        **{name: value for name, value in window.items() if name not in ("signal", "start_s")},
    }


def _meta(plan: Plan, subjects: Mapping[str, Sequence[str]], report: Mapping[str, Any]) -> dict[str, Any]:
    """What `windows.json` says; the report in it is filled while windows are written."""
    options = plan.options
    return {
        "corpus": plan.corpus,
        "about": dict(plan.about),
        "filter": {"low_hz": options.low_hz, "high_hz": options.high_hz, "notch_hz": options.notch_hz},
        "window_s": options.window_s,
        "overlap": options.overlap,
        "split_seed": options.split_seed,
        "subjects": {split: list(members) for split, members in subjects.items()},
        "options": options.model_dump(mode="json", exclude={"source", "workers"}),
        "software": _software(),
        "report": report,
    }


def _software() -> dict[str, str]:
    names = ("sd-data", "sd-core", "mne", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
