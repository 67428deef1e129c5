"""Sections and grids of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure

from sd_data.report.svg import inline

Drawn = Sequence[tuple[Figure, str]]
"""Figures with what they show, said for those who cannot see them; no two figures of a page share their words."""


def section(title: str, note: str, body: str) -> str:
    """A heading, what one should know to read on, and HTML."""
    return f'<section><h2>{title}</h2><p class="note">{note}</p>{body}</section>'


def grid(drawn: Drawn, kind: str = "pairs") -> str:
    """Figures side by side; `kind` is "pairs" or "triples", on a phone always one in a row."""
    shown = "".join(f"<figure>{inline(fig, escape(label))}</figure>" for fig, label in drawn)
    return f'<div class="grid {kind}">{shown}</div>'


def listed(names: Sequence[str]) -> str:
    """The names with commas, the last one with "and"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
