"""What an evaluation leaves: metrics.json, the report, and what is shown while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from sd_core.config import sections
from sd_core.disk import disk_errors, whole_file
from sd_core.judging.judge import judge
from sd_core.protocols import Metric, Report
from sd_core.registry import Registry
from sd_core.task import Windows

METRICS = "metrics.json"
MOST_REAL = 2048
"""Held-out windows at most: the scores of more would hardly differ."""
MOST_TRAIN = 8192
"""Training windows at most (1.3 GB of 20 x 2048); what is left out cannot be recognised as a copy."""


class Counted(Protocol):
    """Told how many more are done, and what is begun now."""

    def __call__(self, more: int, about: str = "", /) -> None:
        """So many more are done; the one of this name begins."""


Counting = Callable[[str, int], AbstractContextManager[Counted]]
"""(what, how many) -> a context for counting them."""

Three = tuple[Windows, Windows, Windows]
"""Held-out, generated, training."""


@contextmanager
def silent(what: str, total: int) -> Iterator[Counted]:
    """Counts nothing."""
    del what, total
    yield lambda *_: None


def judged(
    windows: Three, metrics: Mapping[str, Metric], counting: Counting, *, seed: int, joint: bool = True
) -> dict[str, Any]:
    """`judge`, showing which metric it is at."""
    first = next(iter(metrics), "")
    with counting("judging", len(metrics)) as tick:
        result = judge(*windows, metrics, seed=seed, joint=joint, progress=lambda name: tick(name != first, name))
        if metrics:
            tick(1)
    return result


@dataclass(frozen=True)
class Judgement:
    """What an evaluation leaves."""

    evaluation: Mapping[str, Any]
    """The content of metrics.json."""
    files: tuple[Path, ...]


def build_report(registry: Registry, config: sections.Evaluation) -> Report | None:
    """The page that `[evaluation] report` names, or None.

    Raises:
        SdError: it is not installed.
    """
    if config.report == "none":
        return None
    return cast(Report, registry.create("reports", config.report, registry.options("reports", config.report)()))


def write_results(
    folder: Path,
    result: Mapping[str, Any],
    report: Report | None,
    windows: Three,
    *,
    title: str,
    curves: Mapping[str, Sequence[Any]],
) -> Judgement:
    """Write metrics.json, whole or not at all, then the page.

    Args:
        folder: Made where it is not there.
        result: Content of metrics.json.
        report: The page, if any.
        windows: What was judged.
        title: Of the page.
        curves: Of the training, for the page; empty where there was none.
    """
    path = folder / METRICS
    with disk_errors(path, "name another --output-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            scratch.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    files = [path]
    if report is not None:
        shown = dict(zip(("real", "generated", "train"), windows, strict=True))
        files.append(report({**result, "title": title, "curves": curves}, shown, folder))
    return Judgement(result, tuple(files))


def subjects_of(sets: Mapping[str, Windows]) -> dict[str, int]:
    """How many people are in each set that names them."""
    return {role: len(shown.people) for role, shown in sets.items() if shown.people}
