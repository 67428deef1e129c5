"""The story of the table: each set is written, trained, drawn and scored; what is there already is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.timeseries_table.data import read, series, tables_folder, write
from benchmarks.timeseries_table.judging import Result, judge
from benchmarks.timeseries_table.page import page as text_of
from benchmarks.timeseries_table.product import draw, train_set


def make_table(
    names: Sequence[str],
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    tables: Path | None = None,
    page: Path,
    command: str,
) -> None:
    """Make the sets one after the other; the page is written anew after each.

    Args:
        names: Sets.
        folder: For datasets, runs, samples and scores.
        overrides: `section.key=value`, above the config.
        tables: The folder of the csv files.
        page: The file to write.
        command: What was typed, for the page.

    Raises:
        SdError: a table is missing or malformed, or the config is not one that trains.
    """
    results: dict[str, Result] = {}
    page.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        results[name] = make_set(name, folder / name, overrides, tables or tables_folder())
        page.write_text(text_of(results, command), encoding="utf-8")


def make_set(name: str, folder: Path, overrides: Sequence[str], tables: Path) -> Result:
    """One set, from its table to its scores."""
    content = series(name, tables)
    windows, run = folder / "windows", folder / "run"
    if not windows.exists():
        write(name, content, windows)
    train_set(windows, run, overrides)
    # judged against what the network saw, not against what was meant to be written
    seen = read(windows)
    return judge(replace(content, windows=seen), draw(run, len(seen), overrides, folder), folder)
