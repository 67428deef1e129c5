"""Waveforms without their names: can you tell which are real?"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from html import escape
from string import ascii_uppercase

import numpy as np

from sd_core.plugin import Windows
from sd_data.report.figures import ELECTRODES, spacing, spread, waveforms
from sd_data.report.layout import Drawn, grid, listed, section
from sd_data.report.svg import INK

MOST = 4
"""Windows of each kind."""

Shown = tuple[str, int]
"""("real" | "generated", row)."""


def blind(windows: Mapping[str, Windows]) -> str:
    """The section: windows in an order that their samples decide, letters for titles, the solution folded away."""
    order = shuffled(windows)
    if len(order) < 2:
        return ""
    gap = spacing(windows["real"])
    drawn: Drawn = [
        (waveforms(windows[role], row, letter, INK, gap, most=ELECTRODES), f"Waveforms of window {letter}")
        for letter, (role, row) in zip(ascii_uppercase, order, strict=False)
    ]
    half = len(order) // 2
    note = (
        f"{_number(half)} of these windows are held-out recordings, {_number(half).lower()} are generated. Which? "
        "Whoever guesses has half of them right. The first seconds of each."
    )
    return section("Which are real?", note, grid(drawn) + _solution(windows, order))


def shuffled(windows: Mapping[str, Windows]) -> list[Shown]:
    """As many real as generated windows, spread over the sets, in an order that cannot be learned from other pages."""
    count = min(MOST, len(windows["real"]), len(windows["generated"]))
    shown = [(role, row) for role in ("real", "generated") for row in spread(len(windows[role]), count)]
    seed = zlib.crc32(np.ascontiguousarray(windows["generated"].signal[0]).tobytes())
    return [shown[place] for place in np.random.default_rng(seed).permutation(len(shown))]


def _solution(windows: Mapping[str, Windows], order: list[Shown]) -> str:
    letters = {
        role: [letter for letter, (kind, _) in zip(ascii_uppercase, order, strict=False) if kind == role]
        for role in ("real", "generated")
    }
    rows = "".join(
        f"<tr><th scope=row>{letter}</th><td>{_origin(windows[role], role, row)}</td></tr>"
        for letter, (role, row) in zip(ascii_uppercase, order, strict=False)
    )
    told = f"<p>Real: <b>{listed(letters['real'])}</b>. Generated: <b>{listed(letters['generated'])}</b>.</p>"
    return (
        f'<details class="solution"><summary>Show the solution</summary>{told}'
        f"<table class=card><tbody>{rows}</tbody></table></details>"
    )


def _origin(windows: Windows, role: str, row: int) -> str:
    """What is known of a window: its set, whose it is, its labels."""
    known = [f"{name} {windows.columns[name][row]}" for name in ("subject", "state") if name in windows.columns]
    return escape(", ".join([f"{'held-out real' if role == 'real' else 'generated'}, window {row + 1}", *known]))


def _number(count: int) -> str:
    return ("No", "One", "Two", "Three", "Four")[count]
