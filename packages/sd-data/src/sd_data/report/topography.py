"""Maps of band power over the head: real, generated, and their difference."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sd_core.plugin import Windows
from sd_data.build.electrodes import canonical, is_scalp, standard_montage
from sd_data.metrics.bands import BANDS
from sd_data.metrics.features import features
from sd_data.report.layout import grid, section
from sd_data.report.svg import INK, figure

FEWEST = 6
"""Electrodes with a known place: fewer do not make a map."""
TITLE = "Band power over the head"
_PANELS = ("Held-out real", "Generated", "Difference")


def topographies(windows: Mapping[str, Windows]) -> str:
    """The section; only a note where too few electrodes have a place."""
    names = windows["real"].info.channel_names
    placed = places(names)
    if len(placed) < FEWEST:
        return section(TITLE, _unplaced(len(placed), len(names)), "") if len(names) > 1 else ""
    maps = {role: decibels(windows[role]) for role in ("real", "generated")}
    bands = [band for band in BANDS if band in maps["real"]]
    if not bands:
        return ""
    pairs = {band: (maps["real"][band][list(placed)], maps["generated"][band][list(placed)]) for band in bands}
    furthest = max(1.0, *(float(np.abs(ours - theirs).max()) for theirs, ours in pairs.values()))
    drawn = [(_maps(band, *pairs[band], tuple(placed.values()), furthest), f"Head maps, {band}") for band in bands]
    return section(TITLE, _note(names, placed), grid(drawn))


def places(names: tuple[str, ...]) -> dict[int, str]:
    """Channels that stand in the 10-5 system, under their name there; of two under one name the first."""
    known = {name.lower(): name for name in standard_montage().ch_names}
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        bare = canonical(name)
        if is_scalp(name) and bare in known:
            found.setdefault(known[bare], place)
    return {place: name for name, place in found.items()}


def decibels(windows: Windows) -> dict[str, NDArray[np.float64]]:
    """Mean over windows of log band power: band -> dB (channels,)."""
    return {band: 10 / np.log(10) * power.mean(0) for band, power in features(windows).band_power.items()}


def _unplaced(placed: int, all_: int) -> str:
    return (
        f"No maps: {placed} of the {all_} channels have a place in the 10-5 system, {FEWEST} are needed. "
        "Name channels as electrodes (Fp1, Cz, O2) to see them."
    )


def _note(names: tuple[str, ...], placed: Mapping[int, str]) -> str:
    left = [name for place, name in enumerate(names) if place not in placed]
    missing = f" Without a place, so left out: {escape(', '.join(left))}." if left else ""
    return (
        "Mean over windows of log power, seen from above, nose up. In each band real and generated share a colour "
        "scale; differences (generated minus real) share one across bands. The line in a difference is zero." + missing
    )


def _maps(
    band: str, real: NDArray[np.float64], generated: NDArray[np.float64], names: tuple[str, ...], furthest: float
) -> Figure:
    """Three heads; `furthest` bounds the scale of the difference, in dB."""
    drawn = figure(4.8, 2.35)
    heads = drawn.subplots(1, 3)
    both = np.concatenate([real, generated])
    scale = (float(both.min()), float(max(both.max(), both.min() + 0.1)))
    images = [
        _head(axes, values, names, limits, title)
        for axes, values, limits, title in zip(
            heads, (real, generated, generated - real), (scale, scale, (-furthest, furthest)), _PANELS, strict=True
        )
    ]
    low, high = BANDS[band]
    drawn.suptitle(f"{band.capitalize()}, {low:g}-{high:g} Hz", x=0.01, ha="left", fontsize=10, fontweight="bold")
    for image, below, aspect in ((images[0], heads[:2], 26), (images[2], heads[2:], 13)):
        bar = drawn.colorbar(image, ax=list(below), orientation="horizontal", aspect=aspect, pad=0.02)
        bar.set_label("dB", fontsize=8)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)
    return drawn


def _head(
    axes: Axes, values: NDArray[np.float64], names: tuple[str, ...], limits: tuple[float, float], title: str
) -> Any:
    from mne import create_info
    from mne.viz import plot_topomap

    info = create_info(list(names), 100.0, "eeg")
    info.set_montage(standard_montage())
    contours = 0 if limits[0] != -limits[1] else [0.0]
    image, _ = plot_topomap(
        values, info, axes=axes, show=False, cmap="cividis", vlim=limits, contours=contours, sensors=False
    )
    for line in axes.lines:
        line.set(color=INK, linewidth=1.0)
    axes.set_title(title, loc="center", fontsize=9, fontweight="normal")
    return image
