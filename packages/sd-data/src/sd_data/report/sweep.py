"""The picture of a sweep: every setting on one axis, the floor at its left end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from sd_core.plugin import NoOptions, Windows, whole_file
from sd_data.report.svg import figure

NAME = "sweep.svg"
MOST = 40
"""Settings drawn; the table holds all."""
_MARKS = "osD^vP*X"
"""A shape a sampler: readable in grey."""
_INK, _GREY, _PALE = "#1b1b1b", "#8d8d8d", "#e6e6e6"


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

        Raises:
            OSError: the folder cannot be written; who sweeps knows what to do then.
        """
        del windows
        path = out / NAME
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": NAME, "font.size": 9}):
            figure = draw(evaluation)
            with whole_file(path) as scratch:
                figure.savefig(scratch, format="svg", metadata={"Date": None})
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
        for place, mean in zip(rows, means, strict=True):
            axes.text(1.01, place, f"{mean:.2f}", transform=axes.get_yaxis_transform(), va="center")
    axes.axvline(1.0, color=_INK, linewidth=0.8)
    _scale(axes, max((ratio for entry in settings for ratio in entry["ratios"].values()), default=1.0))
    axes.set_yticks(range(len(settings)), [_title(entry) for entry in settings])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel("error / floor error; dark and number: mean, grey: each score")
    axes.spines[["top", "right", "left"]].set_visible(False)
    if len(samplers) > 1:
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(samplers), borderaxespad=0.0)
    return drawn


def _scale(axes: Axes, most: float) -> None:
    """A logarithmic axis from the floor to `most`, with as many numbers as have room."""
    axes.set_xscale("log")
    narrow, wide = most < 3, most > 100
    locator = MaxNLocator(6) if narrow else LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 3.0, 5.0))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    reach = max(1.05, most)
    axes.set_xlim(reach**-0.03, reach**1.04)
    axes.grid(axis="both", color=_PALE, linewidth=0.6)
    axes.set_axisbelow(True)


def _title(entry: Mapping[str, Any]) -> str:
    return f"{entry['title']} (alarm)" if entry["alarms"] else str(entry["title"])
