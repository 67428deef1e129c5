"""Power spectra of real and generated windows over the spread of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sd_core.plugin import Windows
from sd_data.metrics.bands import electrode, whole
from sd_data.metrics.features import features
from sd_data.report.figures import density_in_print
from sd_data.report.layout import grid, section
from sd_data.report.svg import ACCENT, INK, figure

REGIONS: Mapping[str, frozenset[str]] = {
    "Frontal": frozenset({"fp1", "fp2", "f3", "f4", "fz", "f7", "f8"}),
    "Central": frozenset({"c3", "c4", "cz"}),
    "Posterior": frozenset({"p3", "p4", "pz", "o1", "o2", "oz"}),
}
FEWEST_PEOPLE = 5
"""Below, the spread of people is not drawn: it would be that of a few."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """What differs between people, or between windows where nobody says whose they are."""

    spectra: Array
    """(people or windows, channels, bins), dB."""
    whose: str
    """ "17 people" or "windows"."""


def spectra(windows: Mapping[str, Windows]) -> str:
    """The section: all electrodes, and each region that has some."""
    spread = between(windows)
    note = (
        f"Mean of log power over windows. The shaded band holds the middle 80 % of {spread.whose}, "
        "held-out and training: a model of people should stay inside it, and its mean near theirs."
    )
    drawn = [(_spectrum(windows, title, rows, spread), f"Power spectra, {title}") for title, rows in _groups(windows)]
    return section("Spectra", note, grid(drawn))


def between(windows: Mapping[str, Windows]) -> Spread:
    """The mean spectrum of every person of the real windows; every window's where they are of fewer than five."""
    real = [windows["real"], windows["train"]]
    people = [spectrum for one in real for spectrum in _by_person(one)]
    if len(people) >= FEWEST_PEOPLE:
        return Spread(np.stack(people), f"{len(people)} people")
    return Spread(np.concatenate([features(one).decibels for one in real]), "real windows")


def _by_person(windows: Windows) -> list[Array]:
    people = np.array([str(subject) for subject in windows.columns.get("subject", ())])
    decibels = features(windows).decibels
    return [decibels[people == person].mean(0) for person in np.unique(people)]


def _groups(windows: Mapping[str, Windows]) -> list[tuple[str, Sequence[int]]]:
    names = [electrode(name) for name in windows["real"].info.channel_names]
    regions = [(title, [i for i, name in enumerate(names) if name in members]) for title, members in REGIONS.items()]
    everywhere = "All electrodes" if len(names) > 1 else "The electrode"
    return [(everywhere, range(len(names))), *((title, rows) for title, rows in regions if rows and len(names) > 1)]


def _spectrum(windows: Mapping[str, Windows], title: str, channels: Sequence[int], spread: Spread) -> Figure:
    drawn = figure()
    axes = drawn.subplots()
    looks: dict[str, dict[str, Any]] = {
        "real": {"color": INK, "label": "held-out real"},
        "train": {"color": INK, "linewidth": 1.0, "linestyle": ":", "label": "training"},
        "generated": {"color": ACCENT, "linestyle": "--", "linewidth": 2.0, "label": "generated"},
    }
    frequency = features(windows["real"]).frequency
    bins = whole(frequency)
    low, high = np.percentile(spread.spectra[:, channels][..., bins].mean(1), (10, 90), axis=0)
    axes.fill_between(frequency[bins], low, high, color=INK, alpha=0.12, linewidth=0, label=spread.whose)
    for role, look in looks.items():
        axes.plot(frequency[bins], features(windows[role]).decibels[:, channels][..., bins].mean((0, 1)), **look)
    axes.set(title=title, xlabel="Hz", ylabel=density_in_print(windows["real"].info))
    axes.margins(x=0)
    axes.legend()
    return drawn
