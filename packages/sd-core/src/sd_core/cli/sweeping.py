"""The flags of `sd-evaluate --sweep`, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sd_core.errors import SdError

if TYPE_CHECKING:
    from sd_core.run.cells import Axes

Command = Callable[..., Any]
T = TypeVar("T")
FLAGS = {
    "snapshots": ("STEP,...|all", "Sweep: checkpoints by their step; default the newest."),
    "ema": ("WIDTH,...", "Sweep: averages; default all that the run keeps."),
    "sampler": ("NAME,...", "Sweep: default the run's own, heun and dpm++."),
    "steps": ("N,...", "Sweep: denoising steps; default the run's."),
    "cfg_scale": ("SCALE,...", "Sweep: default 1,1.5,2.5 where the run can be guided."),
    "guidance_interval": ("LOW-HIGH,...", "Sweep: default 0-1,0.1-0.7."),
}
"""Axis -> what to write, and its help."""
SHOWN = 24
"""Settings on the terminal; the files hold all."""


def sweep_flags(command: Command) -> Command:
    """Decorate a command with a flag for each axis."""
    for name, (metavar, text) in reversed(FLAGS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=text)(command)
    return command


def axes_of(given: Mapping[str, str | None]) -> Axes:
    """What to vary.

    Raises:
        SdError: a value is not of its kind.
    """
    from sd_core.run.cells import Axes

    return Axes(
        snapshots=_values(given, "snapshots", str, "steps such as 1000,2000, or all"),
        ema=_values(given, "ema", float, "widths such as 0.05,0.1"),
        samplers=_values(given, "sampler", str, "names such as heun,dpm++"),
        steps=_values(given, "steps", int, "whole numbers such as 10,20"),
        scales=_values(given, "cfg_scale", float, "numbers such as 1,1.5,2.5"),
        intervals=_values(given, "guidance_interval", _interval, "intervals such as 0-1,0.1-0.7"),
    )


def refuse_axes(given: Mapping[str, str | None]) -> None:
    """Without --sweep its flags would do nothing."""
    if named := [f"--{name.replace('_', '-')}" for name, text in given.items() if text is not None]:
        raise SdError(f"{', '.join(named)} belongs to --sweep; for one evaluation write --set inference.KEY=VALUE")


def _values(given: Mapping[str, str | None], name: str, kind: Callable[[str], T], form: str) -> tuple[T, ...] | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        found = tuple(dict.fromkeys(kind(part.strip()) for part in text.split(",") if part.strip()))
    except ValueError:
        found = ()
    if not found:
        raise SdError(f"--{name.replace('_', '-')} {text}: write {form}")
    return found


def _interval(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    if not dash:
        raise ValueError(text)
    return float(low), float(high)


def show_sweep(content: Mapping[str, Any]) -> None:
    """The ranked settings on the terminal, with as many scores as are wide enough to be read."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    shown = content["settings"][:SHOWN]
    titles = [entry["title"] + (" (alarm)" if entry["alarms"] else "") for entry in shown]
    keys = _fitting(content["scores"], console.width - max(map(len, titles), default=0) - len("x floor  evaluations  "))
    table = Table(box=None, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    for title in ("x floor", "evaluations", *(content["scores"][key]["title"] for key in keys)):
        table.add_column(title, justify="right", no_wrap=True)
    for title, entry in zip(titles, shown, strict=True):
        values = entry["values"] or {}
        numbers = (_number(values.get(key)) for key in keys)
        table.add_row(title, _number(entry["excess"], 2), f"{entry['evaluations']:g}", *numbers)
    table.add_row("floor (real)", "1.00", "", *(_number(content["floor"].get(key)) for key in keys))
    console.print(table)
    rest = len(content["settings"]) - len(shown)
    console.print(f"All scores{f' and {rest} more settings' if rest else ''} are in sweep.csv.")
    console.print()
    for sentence in (f"Ranked by the {content['rule']}.", *content["notes"]):
        console.print(sentence, markup=False)
    console.print()


def _fitting(scores: Mapping[str, Mapping[str, Any]], width: int) -> list[str]:
    """The first distances whose columns fit."""
    keys = []
    for key, score in scores.items():
        width -= len(score["title"]) + 2
        if score["alarm"] is None and width >= 0:
            keys.append(key)
    return keys


def _number(value: float | None, places: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{places}f}"
