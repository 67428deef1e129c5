"""What `sd-data inspect --html` draws: the tables of the terminal, spectra, amplitudes, ages, some windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text
from scipy.signal import welch

from sd_core.plugin import SdError, SignalInfo, Windows
from sd_core.windows.reading import PictureSet, WindowSet
from sd_data.report.figures import density_in_print, in_print, spacing, waveforms
from sd_data.report.svg import ACCENT, INK, figure, inline, style

_READ = 256
"""Windows of a split, evenly spaced, that are drawn from."""
_SHOWN = 4
"""Windows that are shown themselves."""
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": INK, "linestyle": "-"},
    {"color": ACCENT, "linestyle": "--"},
    {"color": INK, "linestyle": ":"},
)
"""Of the splits: told apart in grey, too."""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{title}</title><style>{css}
.scroll {{ overflow-x: auto; }} .scroll table {{ width: auto; min-width: 30rem; }}
.scroll thead th {{ text-align: left !important; white-space: nowrap; }}</style></head>
<body><header><p class="kind">Signal Diffusion · window dataset</p><h1>{title}</h1><p class="lead">{lead}</p></header>
<main>{sections}</main></body></html>
"""


def write_page(
    page: Path,
    title: str,
    *,
    lead: str,
    tables: Sequence[tuple[str, Table]],
    splits: Mapping[str, WindowSet | PictureSet],
    problems: Sequence[str],
) -> None:
    """One file that opens offline.

    Args:
        page: The file; replaced where it is there.
        title: Name of the dataset.
        lead: What an example is.
        tables: Heading and table, as the terminal shows them.
        splits: The dataset.
        problems: What is wrong with it.

    Raises:
        SdError: the file cannot be written.
    """
    sections = []
    if problems:
        listed = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
        sections.append(f'<section class="verdict"><h2>What is wrong</h2><ul>{listed}</ul></section>')
    sections += [_section(heading, _html(table)) for heading, table in tables]
    windows = {name: split for name, split in splits.items() if isinstance(split, WindowSet)}
    if windows:
        with style():
            sections.append(_section("What the samples look like", _grid(_pictures(windows))))
            sections.append(_section("Some windows", _grid(_examples(windows))))
    css = files("sd_data.report").joinpath("page.css").read_text(encoding="utf-8")
    text = _PAGE.format(title=escape(title), css=css, lead=escape(lead), sections="".join(sections))
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SdError(f"'{page}' cannot be written: {error.strerror}") from error


def _pictures(splits: Mapping[str, WindowSet]) -> list[tuple[Figure, str]]:
    signals = {name: split.signals(_spread(len(split), _READ)) for name, split in splits.items()}
    info = next(iter(splits.values())).info
    unit = in_print(info).strip()
    ages = {
        name: [float(age) for age in split.column("age") if age is not None]
        for name, split in splits.items()
        if "age" in split.column_names
    }
    drawn = [
        (_spectra(signals, info), "Power spectra of the splits, median and the middle 80 % of train windows"),
        (_channels(signals, info), "Standard deviation of every electrode"),
        (
            _histogram(_amplitudes(signals), "Amplitude of windows", f"{unit} (standard deviation)".strip()),
            "Amplitudes of windows",
        ),
    ]
    if any(ages.values()):
        drawn.append((_histogram(ages, "Age of the people, by window", "years"), "Ages"))
    return drawn


def _spectra(signals: Mapping[str, NDArray[np.float32]], info: SignalInfo) -> Figure:
    drawn, sfreq = figure(), info.sfreq
    axes = drawn.subplots()
    for (name, signal), look in zip(signals.items(), _LOOKS, strict=False):
        hertz, power = welch(signal, sfreq, nperseg=min(signal.shape[-1], round(2.048 * sfreq)), axis=-1)
        inside = (hertz >= 0.5) & (hertz <= min(60, sfreq / 2))
        decibels = 10 * np.log10(power[..., inside].mean(axis=1) + 1e-6)
        low, middle, high = np.percentile(decibels, (10, 50, 90), axis=0)
        if look is _LOOKS[0]:
            axes.fill_between(hertz[inside], low, high, color=INK, alpha=0.12, linewidth=0)
        axes.plot(hertz[inside], middle, label=name, **look)
    axes.set(title="Power spectrum, all electrodes", xlabel="Hz", ylabel=density_in_print(info))
    axes.margins(x=0)
    axes.legend()
    return drawn


def _channels(signals: Mapping[str, NDArray[np.float32]], info: SignalInfo) -> Figure:
    drawn, names = figure(4.8, 3.0), info.channel_names
    axes = drawn.subplots()
    for (name, signal), look, mark in zip(signals.items(), _LOOKS, "os^", strict=False):
        spread = np.median(signal.std(axis=-1), axis=0)
        axes.plot(range(len(names)), spread, linestyle="none", marker=mark, color=look["color"], label=name, alpha=0.8)
    shown = range(0, len(names), -(-len(names) // 32))
    axes.set_xticks(list(shown), [names[place] for place in shown], rotation=90, fontsize=7)
    axes.set(title="Electrodes", ylabel=f"{in_print(info)} (median standard deviation)".strip(), ylim=(0, None))
    axes.legend()
    return drawn


def _amplitudes(signals: Mapping[str, NDArray[np.float32]]) -> dict[str, list[float]]:
    return {name: signal.std(axis=-1).mean(axis=1).tolist() for name, signal in signals.items()}


def _histogram(values: Mapping[str, list[float]], title: str, label: str) -> Figure:
    drawn = figure()
    axes = drawn.subplots()
    everything = [value for each in values.values() for value in each]
    edges = np.histogram_bin_edges(everything, 24)
    for (name, each), look in zip(values.items(), _LOOKS, strict=False):
        shares = np.histogram(each, edges)[0] / max(len(each), 1)
        axes.stairs(shares, edges, label=name, **look)
    axes.set(title=title, xlabel=label, ylabel="share of the split")
    axes.legend()
    return drawn


def _examples(splits: Mapping[str, WindowSet]) -> list[tuple[Figure, str]]:
    name, split = next(iter(splits.items()))
    rows = _spread(len(split), _SHOWN)
    shown = Windows(signal=split.signals(rows), info=split.info)
    apart = spacing(shown)
    captions = split.column("caption") if "caption" in split.column_names else [None] * len(split)
    titles = [f"{name} {row}" + (f": {captions[row]}" if captions[row] else "") for row in rows]
    return [(waveforms(shown, place, _short(title), INK, apart), title) for place, title in enumerate(titles)]


def _short(title: str) -> str:
    return title if len(title) <= 60 else title[:59] + "…"


def _spread(available: int, most: int) -> list[int]:
    rows: list[int] = np.unique(np.linspace(0, available - 1, min(available, most)).astype(int)).tolist()
    return rows


def _grid(drawn: Sequence[tuple[Figure, str]]) -> str:
    pictures = "".join(f"<figure>{inline(picture, escape(label, quote=True))}</figure>" for picture, label in drawn)
    return f'<div class="grid pairs">{pictures}</div>'


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def _html(table: Table) -> str:
    """A table of the terminal as one of the page."""
    head = "".join(f"<th>{escape(str(column.header))}</th>" for column in table.columns)
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: object) -> str:
    return escape(Text.from_markup(str(cell)).plain)
