"""The picture of a sweep: every setting on one axis, the floor at its left end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from sd_core.plugin import NoOptions, Windows
from sd_data.report.svg import figure

NAME = "sweep.svg"
MOST = 40
"""Settings drawn; the table holds all."""
_MARKS = "osD^vP*X"
"""A shape a sampler: readable in grey."""
_INK, _GREY = "#1b1b1b", "#a9a9a9"


class SweepPlot:
    """Writes `sweep.svg`: per setting the mean over the scores (dark) and each score (grey), in floors."""

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, evaluation: Mapping[str, Any], windows: Mapping[str, Windows], out: Path) -> Path:
        """Write into folder `out`.

        Args:
            evaluation: `settings`, the best first, as `sd-evaluate --sweep` has them.
            windows: Not looked at.
            out: An existing folder.
        """
        del windows
        path = out / NAME
        partial = out / f".{NAME}"
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": NAME, "font.size": 9}):
            draw(evaluation).savefig(partial, format="svg", metadata={"Date": None})
        partial.replace(path)
        return path


def draw(sweep: Mapping[str, Any]) -> Figure:
    """The figure."""
    settings = [entry for entry in sweep["settings"] if entry["excess"] is not None][:MOST]
    drawn = figure(8.5, 1.3 + 0.24 * max(len(settings), 1))
    drawn.patch.set(facecolor="white", alpha=1)
    axes = drawn.subplots()
    samplers = list(dict.fromkeys(entry["inference"]["sampler"] for entry in settings))
    for place, entry in enumerate(settings):
        ratios = list(entry["ratios"].values())
        axes.plot(ratios, [place] * len(ratios), linestyle="", marker="|", color=_GREY, markersize=7)
    for number, sampler in enumerate(samplers):
        rows = [place for place, entry in enumerate(settings) if entry["inference"]["sampler"] == sampler]
        means = [settings[place]["excess"] for place in rows]
        axes.plot(means, rows, linestyle="", marker=_MARKS[number % len(_MARKS)], color=_INK, label=sampler)
    axes.axvline(1.0, color=_INK, linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter() if _wide(settings) else ScalarFormatter())
    axes.set_yticks(range(len(settings)), [_title(entry) for entry in settings])
    axes.invert_yaxis()
    axes.set_xlabel("error / floor error; dark: mean, grey: each score")
    axes.spines[["top", "right"]].set_visible(False)
    if len(samplers) > 1:
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(samplers))
    return drawn


def _wide(settings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the axis spans so much that only powers of ten have room for a number."""
    return max((ratio for entry in settings for ratio in entry["ratios"].values()), default=1.0) > 20


def _title(entry: Mapping[str, Any]) -> str:
    return f"{entry['title']} (alarm)" if entry["alarms"] else str(entry["title"])
