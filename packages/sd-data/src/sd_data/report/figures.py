"""The pictures of the report. Real is drawn in ink, generated in the accent colour and dashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.signal import spectrogram

from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.bands import posterior
from sd_data.metrics.features import features
from sd_data.report.svg import INK, figure

SHOWN_S = 6.0
"""Seconds of a waveform: enough for rhythms, short enough to see waves."""
MOST_TRACES = 20
ELECTRODES = 10
"""Traces where many windows are shown: enough to compare, few enough to see."""


def waveforms(
    windows: Windows, row: int, title: str, colour: str, spacing: float, *, start: int = 0, most: int = MOST_TRACES
) -> Figure:
    """The first seconds of one window, electrodes below each other.

    Args:
        windows: Holds the window.
        row: Which one.
        title: Above it.
        colour: Of the traces.
        spacing: Distance of traces, in the unit of the windows.
        start: Sample to begin at.
        most: Electrodes at most, evenly spread over those there.
    """
    info = windows.info
    shown = min(info.n_samples - start, round(SHOWN_S * info.sfreq))
    channels = spread(info.n_channels, most)
    drawn = figure(4.8, 1.0 + 0.24 * len(channels))
    axes = drawn.subplots()
    time = (start + np.arange(shown)) / info.sfreq
    for place, channel in enumerate(channels):
        trace = windows.signal[row, channel, start : start + shown].astype(np.float64)
        axes.plot(time, trace - trace.mean() - place * spacing, color=colour, linewidth=0.8)
    names = [info.channel_names[channel] for channel in channels]
    axes.set_yticks([-place * spacing for place in range(len(channels))], names, parse_math=False)
    axes.set_title(title, parse_math=False)
    axes.set(
        xlabel=f"seconds; traces {spacing:g}{in_print(info)} apart",
        ylim=(-(len(channels) - 0.2) * spacing, 0.8 * spacing),
    )
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0)
    return drawn


def in_print(info: SignalInfo) -> str:
    """The unit behind a number, with its Greek letter; empty where it is not known."""
    return f" {info.unit.replace('uV', 'µV')}" if info.unit else ""


def density_in_print(info: SignalInfo) -> str:
    """What decibels of a power density are relative to."""
    return f"dB (1{in_print(info)}²/Hz)" if info.unit else "dB"


def spacing(real: Windows) -> float:
    """Distance between traces: four times the typical deviation, rounded to 5."""
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
