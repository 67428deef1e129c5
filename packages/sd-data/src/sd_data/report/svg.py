"""Matplotlib figures as inline SVG that takes its ink from the page, so that it suits light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK = "#010203"
"""Becomes the page's text colour."""
ACCENT = "#040506"
"""Becomes the page's accent: what was generated."""
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "path.simplify_threshold": 0.5,
}


@contextmanager
def style() -> Iterator[None]:
    """Within it, figures are drawn in the report's style."""
    with mpl.rc_context(_STYLE):
        yield


def figure(width: float = 4.8, height: float = 3.0) -> Figure:
    """An empty figure of this size in inches; 4.8 wide stays readable on a phone. No global state."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.patch.set_alpha(0)
    return made


def inline(drawn: Figure, label: str) -> str:
    """The figure as an `<svg>` element, described by `label` for those who cannot see it.

    The output depends on the drawing only: no date, and identifiers hashed from the content.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": label}):
        drawn.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(INK, "currentColor").replace(ACCENT, "var(--accent)")
    text = re.sub(r"'?DejaVu Sans'?[^;\"]*", "var(--font)", text)
    text = re.sub(r' d="([^"]*)"', lambda path: f' d="{_short(path[1])}"', text)
    # The CSS decides the width; the height follows from the view box.
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{label}">{rest}'


def _short(path: str) -> str:
    """A path to a tenth of a point, half as long: line after line needs no letter."""
    rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), path)
    return re.sub(r"(?<=[\d ])L (?=-?[\d.])", "", " ".join(rounded.split()))
