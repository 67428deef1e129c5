"""The pictures of the report. Real is drawn in ink, generated in the accent colour and dashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.signal import spectrogram

from sd_core.plugin import Windows
from sd_data.metrics.bands import electrode, posterior, whole
from sd_data.metrics.features import features
from sd_data.report.svg import ACCENT, INK, figure

REGIONS: Mapping[str, frozenset[str]] = {
    "Frontal": frozenset({"fp1", "fp2", "f3", "f4", "fz", "f7", "f8"}),
    "Central": frozenset({"c3", "c4", "cz"}),
    "Posterior": frozenset({"p3", "p4", "pz", "o1", "o2", "oz"}),
}
SHOWN_S = 6.0
"""Seconds of a waveform: enough for rhythms, short enough to see waves."""
MOST_TRACES = 20


def spectra(windows: Mapping[str, Windows]) -> list[Figure]:
    """Power spectra of all electrodes and of each region that has electrodes."""
    names = [electrode(name) for name in windows["real"].info.channel_names]
    regions = {title: [i for i, name in enumerate(names) if name in members] for title, members in REGIONS.items()}
    chosen = {"All electrodes": list(range(len(names))), **{title: rows for title, rows in regions.items() if rows}}
    return [_spectrum(windows, title, rows) for title, rows in chosen.items()]


def _spectrum(windows: Mapping[str, Windows], title: str, channels: Sequence[int]) -> Figure:
    drawn = figure()
    axes = drawn.subplots()
    looks: dict[str, dict[str, Any]] = {
        "real": {"color": INK, "label": "held-out real"},
        "train": {"color": INK, "linewidth": 1.0, "linestyle": ":", "label": "training (floor)"},
        "generated": {"color": ACCENT, "linestyle": "--", "linewidth": 2.0, "label": "generated"},
    }
    for role, look in looks.items():
        found = features(windows[role])
        bins = whole(found.frequency)
        decibels = found.decibels[:, channels][..., bins].mean(1)
        low, middle, high = np.percentile(decibels, (10, 50, 90), axis=0)
        if role == "real":
            axes.fill_between(found.frequency[bins], low, high, color=INK, alpha=0.12, linewidth=0)
        elif role == "generated":
            for edge in (low, high):
                axes.plot(found.frequency[bins], edge, color=ACCENT, linewidth=0.8, alpha=0.8)
        axes.plot(found.frequency[bins], middle, **look)
    axes.set(title=title, xlabel="Hz", ylabel="dB (1 µV²/Hz)")
    axes.margins(x=0)
    axes.legend()
    return drawn


def waveforms(windows: Windows, row: int, title: str, colour: str, spacing: float) -> Figure:
    """One window, electrodes below each other, `spacing` microvolts apart."""
    info = windows.info
    shown = min(info.n_samples, round(SHOWN_S * info.sfreq))
    channels = spread(info.n_channels, MOST_TRACES)
    drawn = figure(4.8, 1.0 + 0.24 * len(channels))
    axes = drawn.subplots()
    time = np.arange(shown) / info.sfreq
    for place, channel in enumerate(channels):
        trace = windows.signal[row, channel, :shown].astype(np.float64)
        axes.plot(time, trace - trace.mean() - place * spacing, color=colour, linewidth=0.8)
    axes.set_yticks([-place * spacing for place in range(len(channels))], [info.channel_names[c] for c in channels])
    axes.set(title=title, xlabel="seconds", ylim=(-(len(channels) - 0.2) * spacing, 0.8 * spacing))
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0)
    return drawn


def spacing(real: Windows) -> float:
    """Distance between traces in microvolts: four times the typical deviation, rounded to 5."""
    return max(5.0, 5 * round(4 * float(np.median(features(real).deviation)) / 5))


def spectrograms(windows: Windows, rows: Sequence[int], title: str, limits: tuple[float, float]) -> Figure:
    """Time-frequency pictures of several windows at one posterior electrode, on a shared dB scale."""
    drawn = figure(4.8, 1.25 * len(rows) + 0.9)
    panels = np.atleast_1d(drawn.subplots(len(rows), 1, sharex=True))
    for row, axes in zip(rows, panels, strict=True):
        frequency, time, decibels = _spectrogram(windows, row)
        image = axes.pcolormesh(time, frequency, decibels, cmap="cividis", clim=limits, rasterized=True)
        axes.set_ylabel("Hz")
        axes.spines[:].set_visible(False)
    panels[0].set_title(title)
    panels[-1].set_xlabel("seconds")
    colours = drawn.colorbar(image, ax=panels, label="dB", aspect=30, pad=0.02)
    colours.outline.set_visible(False)
    return drawn


def decibel_limits(real: Windows, rows: Sequence[int]) -> tuple[float, float]:
    """A colour scale that fits the real windows: 2nd to 99.8th percentile."""
    values = np.concatenate([_spectrogram(real, row)[2].ravel() for row in rows])
    low, high = np.percentile(values, (2, 99.8))
    return float(low), float(high)


def _spectrogram(windows: Windows, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    info = windows.info
    segment = max(2, min(info.n_samples, round(1.024 * info.sfreq)))
    signal = windows.signal[row, posterior(info.channel_names)[0]].astype(np.float64)
    frequency, time, power = spectrogram(signal, info.sfreq, nperseg=segment, noverlap=segment * 3 // 4)
    shown = frequency <= 45 if (frequency <= 45).sum() > 1 else frequency >= 0
    return frequency[shown], time, 10 * np.log10(power[shown] + 1e-3)


def correlations(windows: Mapping[str, Windows]) -> list[Figure]:
    """Mean correlation between electrodes: real, generated and their absolute difference."""
    real, generated = (features(windows[role]).correlation.mean(0) for role in ("real", "generated"))
    names = windows["real"].info.channel_names
    return [
        _matrix(real, names, "Held-out real", (-1, 1)),
        _matrix(generated, names, "Generated", (-1, 1)),
        _matrix(np.abs(generated - real), names, "Absolute difference", (0, 0.5)),
    ]


def _matrix(values: NDArray[np.float64], names: Sequence[str], title: str, limits: tuple[float, float]) -> Figure:
    drawn = figure(4.2, 3.7)
    axes = drawn.subplots()
    image = axes.imshow(values, cmap="cividis", clim=limits)
    ticks = spread(len(names), 10)
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90)
    axes.set_yticks(ticks, [names[i] for i in ticks])
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    drawn.colorbar(image, ax=axes, shrink=0.8).outline.set_visible(False)
    return drawn


def curves(series: Mapping[str, Sequence[Sequence[float]]]) -> list[Figure]:
    """One picture per training curve: name -> (step, value) pairs."""
    made = []
    for name, points in series.items():
        steps, values = np.asarray(points, dtype=np.float64).T
        drawn = figure(4.8, 2.4)
        axes = drawn.subplots()
        axes.plot(steps, values, color=INK, linewidth=1.0)
        axes.set(title=name, xlabel="step")
        _logarithmic(axes, values)
        made.append(drawn)
    return made


def _logarithmic(axes: Axes, values: NDArray[np.float64]) -> None:
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")


def spread(available: int, most: int) -> list[int]:
    """Up to `most` indices, evenly spread."""
    return sorted({round(place) for place in np.linspace(0, available - 1, min(available, most))})
