"""The story of a corpus: subjects to splits, recordings to windows, windows to disk."""

from __future__ import annotations

import multiprocessing
import platform
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from sd_core.plugin import SdError, SignalInfo
from sd_core.windows.writing import write_windows
from sd_data.build.captions import captions
from sd_data.build.recordings import Outcome, Recording
from sd_data.build.splitting import split_subjects
from sd_data.options import CorpusOptions

Process = Callable[[Recording, float], Outcome]
"""(recording, overlap) -> its windows. Must be picklable where several workers are wanted."""
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
    workers: int = 1
    about: Mapping[str, Any] = field(default_factory=dict)
    """For `windows.json`: source, licence."""


def build_corpus(out: Path, plan: Plan) -> None:
    """Write the corpus as a window dataset.

    Raises:
        SdError: `out` exists, the subjects do not fill the splits, or a recording cannot be used.
    """
    if out.exists():
        raise SdError(f"'{out}' exists already: remove it or name another folder")
    options = plan.options
    groups = {recording.subject: (recording.gender, recording.health) for recording in plan.recordings}
    subjects = split_subjects(groups, options.split, options.split_seed)
    with _progress(plan) as advance, _pool(plan.workers) as pool:
        work = _Build(plan, _info(plan), pool, advance)
        splits = {split: work.rows(split, frozenset(members)) for split, members in subjects.items()}
        meta = _meta(plan, subjects, work.report)
        write_windows(out, splits, work.info, meta, classes={"label": CLASSES[options.label_from]})


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


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    if workers == 1:
        yield None
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Build:
    """One build under way."""

    plan: Plan
    info: SignalInfo
    pool: Executor | None
    advance: Callable[[], None]
    report: dict[str, Any] = field(
        default_factory=lambda: {"recordings": 0, "windows": 0, "rejected": {}, "skipped": {}}
    )

    def rows(self, split: str, subjects: frozenset[str]) -> Iterator[dict[str, Any]]:
        """The rows of one split, recording by recording; keeps the report."""
        recordings = [recording for recording in self.plan.recordings if recording.subject in subjects]
        overlap = self.plan.options.overlap if split == "train" else 0.0
        for outcome in self._outcomes(recordings, overlap):
            self.advance()
            self._count(outcome)
            for window in outcome.windows:
                yield _row(outcome.recording, self.info, window, self.plan.options.label_from)

    def _outcomes(self, recordings: Sequence[Recording], overlap: float) -> Iterator[Outcome]:
        """Outcomes in the order of the recordings, by this process or by several."""
        if self.pool is None:
            yield from (self.plan.process(recording, overlap) for recording in recordings)
            return
        # Two recordings a worker are under way, so memory does not grow with the corpus.
        waiting: deque[Future[Outcome]] = deque()
        for recording in recordings:
            waiting.append(self.pool.submit(self.plan.process, recording, overlap))
            if len(waiting) >= 2 * self.plan.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _count(self, outcome: Outcome) -> None:
        if outcome.problem is not None:
            if not self.plan.skip_bad:
                raise SdError(f"{outcome.problem} (--skip-bad leaves such recordings out)")
            self.report["skipped"][outcome.recording.name] = outcome.problem
            return
        self.report["recordings"] += 1
        self.report["windows"] += len(outcome.windows)
        self.report["rejected"] = dict(Counter(self.report["rejected"]) + Counter(outcome.rejected))


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
        "caption": caption,
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
        "software": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("sd-data", "sd-core", "mne", "numpy", "scipy")},
        },
        "report": report,
    }
