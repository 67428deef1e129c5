"""A metric and a report small enough for a test, and a registry that offers them beside the toys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sd_core.components import Component
from sd_core.discovery import PluginRecord
from sd_core.options import NoOptions, Options
from sd_core.registry import Registry
from sd_core.task import Score, Windows
from sd_core.testing.toys import toy_registry


class SpreadOptions(Options):
    """Options of the toy metric."""

    gain: float = 1.0
    """Multiplies the score."""


class Spread:
    """A metric: difference of amplitudes."""

    def __init__(self, options: SpreadOptions) -> None:
        self.gain = options.gain
        self.scores: Mapping[str, Score] = {"spread": Score("Spread", "uV")}

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """|sd of generated - sd of real|, microvolts."""
        del train
        return {"spread": self.gain * float(abs(generated.signal.std() - real.signal.std()))}


class TextReport:
    """A report: the names and sizes of what it was given."""

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, evaluation: Mapping[str, Any], windows: Mapping[str, Windows], out: Path) -> Path:
        """Write `report.txt`."""
        sizes = {name: len(shown) for name, shown in windows.items()}
        path = out / "report.txt"
        path.write_text(json.dumps([sizes, evaluation["title"], sorted(evaluation["curves"])]), encoding="utf-8")
        return path


def judging_registry(*more: PluginRecord) -> Registry:
    """The toys, the metric "spread", one that cannot be used, and the report."""
    metric = Component(
        name="spread",
        summary="difference of amplitudes",
        factory=f"{__name__}:Spread",
        options=f"{__name__}:SpreadOptions",
    )
    absent = Component(name="absent", summary="s", factory="no:Thing", requires=("no_such_module",), extra="eval")
    report = Component(name="html", summary="sizes", factory=f"{__name__}:TextReport")
    components = {"metrics": (metric, absent), "reports": (report,)}
    return toy_registry(PluginRecord(name="judges", distribution="judges", version="0", components=components), *more)
