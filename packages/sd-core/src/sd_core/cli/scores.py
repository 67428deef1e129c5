"""What an evaluation shows on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PIPED = 160
"""Columns of a table that goes to a file or another program."""


def show(evaluation: Mapping[str, Any]) -> None:
    """The verdict and the scores that it is about."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:  # a line for each score and sentence, however long: somebody searches them
        console = Console(highlight=False, width=PIPED, soft_wrap=True)
    references = evaluation["references"]
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    for title in ("generated", "95 %", *references.values()):
        table.add_column(title, justify="right")
    for entry in evaluation["scores"].values():
        if not entry["detail"]:
            numbers = {"floor": entry["floor"], **entry["surrogates"]}
            unit = f" ({entry['unit']})" if entry["unit"] else ""
            shown = [number(numbers[name]) for name in references]
            table.add_row(entry["title"] + unit, number(entry["value"]), _ends(entry["interval"]), *shown)
    console.print(table)
    if any(entry["interval"] for entry in evaluation["scores"].values()):
        console.print("95 %: with other held-out people and other windows, of the same weights", style="dim")
    console.print()
    for sentence in (*evaluation["verdict"], *evaluation["warnings"], *evaluation["notes"]):
        console.print(sentence, markup=False)
    console.print()


def number(value: float | None) -> str:
    """A score in a table."""
    return "n/a" if value is None else f"{value:.3f}"


def _ends(interval: Sequence[float] | None) -> str:
    """How far chance takes a score."""
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
