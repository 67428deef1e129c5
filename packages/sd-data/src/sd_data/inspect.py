"""A look into a window dataset: tables for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sd_core.plugin import SdError
from sd_core.windows.balance import balance_weights
from sd_core.windows.loading import load_splits
from sd_core.windows.opening import open_split, read_meta
from sd_core.windows.reading import PictureSet, WindowSet
from sd_core.windows.statistics import RunningStatistics

Splits = Mapping[str, WindowSet | PictureSet]
_LABELS = ("corpus", "state", "gender", "health")
_LOOKED_AT = 2000
"""Windows of a split whose samples are read."""
_FLAT_UV = 0.5


def print_report(out: Path) -> None:
    """What a build made of its recordings: windows by split, rejections by reason, recordings left out."""
    console, meta = Console(highlight=False), read_meta(out)
    report, subjects = meta.get("report", {}), meta.get("subjects", {})
    table = Table("split", "subjects", "windows", title=None, box=None, pad_edge=False)
    for split, summary in meta["splits"].items():
        table.add_row(split, str(len(subjects.get(split, ()))), str(summary["windows"]))
    names = meta["channel_names"]
    size = f"{len(names)} channels x {meta['n_samples']} samples at {meta['sfreq']:g} Hz"
    console.print(f"{escape(str(out))}: {size}", soft_wrap=True)
    console.print(table)
    for reason, count in report.get("rejected", {}).items():
        console.print(f"rejected {count} windows: {escape(reason)}", soft_wrap=True)
    if report.get("interpolated"):
        console.print(f"interpolated electrodes in {len(report['interpolated'])} recordings (listed in windows.json)")
    if report.get("unused"):
        names = ", ".join(f"{name} ({count} recordings)" for name, count in sorted(report["unused"].items()))
        console.print(f"recorded, but in no window: {escape(names)}; --channels chooses electrodes", soft_wrap=True)
    for recording, problem in report.get("skipped", {}).items():
        console.print(f"left out {escape(recording)}: {escape(problem)}", soft_wrap=True)


@dataclass(frozen=True)
class Balance:
    """How `[dataset]` would weigh windows."""

    columns: tuple[str, ...] = ("corpus", "gender", "health")
    power: float = 1.0
    cap: float = 10.0


def inspect_dataset(name: str, balance: Balance = Balance(), page: Path | None = None) -> None:
    """Print splits, labels, balance, amplitudes and problems of a dataset.

    Args:
        name: As `locate` returns it.
        balance: What the table of weights shows.
        page: An html file for the same, and pictures.

    Raises:
        SdError: it cannot be read, or it has problems, which are printed first.
    """
    console = Console(highlight=False)
    splits: Splits = {split: open_split(name, split) for split in load_splits(name)}
    problems: list[str] = []
    first = next(iter(splits.values()))
    tables = _tables(splits, balance, problems)
    console.print(f"[bold]{escape(name)}[/]  {geometry(first)}", soft_wrap=True)
    for heading, table in tables:
        if heading.startswith("["):
            console.print(f"not in use; a config with [bold]{escape(heading)}[/] would draw them so:", soft_wrap=True)
        console.print(table)
    for problem in problems:
        console.print(f"[red]{escape(problem)}[/]", soft_wrap=True)
    if page is not None:
        from sd_data.overview import write_page

        write_page(page, Path(name).name, lead=geometry(first), tables=tables, splits=splits, problems=problems)
        console.print(f"drawn in {escape(str(page))}", soft_wrap=True)
    if problems:
        raise SdError(f"'{name}' has {len(problems)} problems (above)")


def _tables(splits: Splits, balance: Balance, problems: list[str]) -> list[tuple[str, Table]]:
    """Heading and table; `problems` collects what is wrong."""
    first = next(iter(splits.values()))
    tables = [("Splits", split_table(splits))]
    if any(column in first.column_names for column in _LABELS):
        tables.append(("Labels", label_table(splits)))
    weighed = balance_table(splits.get("train", first), balance)
    if any(weight != "1.00" for weight in weighed.columns[-2].cells):  # else nothing would be drawn otherwise
        columns = ", ".join(f'"{column.header}"' for column in weighed.columns[:-4])
        tables.append((f"[dataset] balance = [{columns}]", weighed))
    if isinstance(first, WindowSet):
        tables.append(("Amplitudes", amplitude_table(splits, problems)))
    return tables


def geometry(split: WindowSet | PictureSet) -> str:
    """One line on what an example is."""
    if isinstance(split, PictureSet):
        return "pictures of " + "x".join(map(str, split.shape))
    info = split.info
    return f"{info}, reference {info.reference}: {escape(' '.join(info.channel_names))}"


def split_table(splits: Splits) -> Table:
    """Rows, subjects, ages of each split."""
    table = Table("split", "examples", "subjects", "recordings", "age", box=None, pad_edge=False)
    for name, split in splits.items():
        table.add_row(name, str(len(split)), _distinct(split, "subject"), _distinct(split, "recording"), _ages(split))
    return table


def label_table(splits: Splits) -> Table:
    """How often each combination of labels stands in each split."""
    columns = [name for name in _LABELS if all(name in split.column_names for split in splits.values())]
    counts = {
        name: Counter(zip(*(map(_text, split.column(column)) for column in columns), strict=True))
        for name, split in splits.items()
    }
    table = Table(*columns, *splits, box=None, pad_edge=False)
    for combination in sorted(set().union(*counts.values())):
        table.add_row(*map(escape, combination), *(str(counts[name][combination]) for name in splits))
    return table


def balance_table(split: WindowSet | PictureSet, balance: Balance) -> Table:
    """Joint counts of the labels of the train split, and how often each combination is drawn with weights."""
    columns = [name for name in balance.columns if name in split.column_names]
    weights = balance_weights(split, columns, balance.power, balance.cap)
    combinations = list(zip(*(map(_text, split.column(column)) for column in columns), strict=True)) if columns else []
    table = Table(*columns, "windows", "share", "weight", "drawn", box=None, pad_edge=False)
    rows: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for combination, weight in zip(combinations, weights.tolist(), strict=bool(columns)):
        rows[combination].append(weight)
    for combination, drawn in sorted(rows.items()):
        shares = (len(drawn) / len(split), sum(drawn) / len(split))
        table.add_row(
            *map(escape, combination), str(len(drawn)), f"{shares[0]:.1%}", f"{drawn[0]:.2f}", f"{shares[1]:.1%}"
        )
    return table


def amplitude_table(splits: Splits, problems: list[str]) -> Table:
    """Median over channels of what the samples do (kurtosis is the excess); `problems` collects what is wrong."""
    table = Table("split", "sd uV", "from", "to", "offset uV", "peak uV", "kurtosis", "read", box=None, pad_edge=False)
    for name, split in splits.items():
        assert isinstance(split, WindowSet)
        statistics, read = _statistics(name, split, problems)
        summary = statistics.summary()
        spread = np.array(summary["standard_deviation_uv"])
        flat = [channel for channel, sd in zip(split.info.channel_names, spread, strict=True) if sd < _FLAT_UV]
        if flat:
            problems.append(f"{name}: flat channels (below {_FLAT_UV:g} uV): {', '.join(flat)}")
        median = {key: float(np.median(values)) for key, values in summary.items() if isinstance(values, list)}
        table.add_row(
            name,
            f"{median['standard_deviation_uv']:.2f}",
            f"{spread.min():.2f}",
            f"{spread.max():.2f}",
            f"{median['offset_rms_uv']:.2f}",
            f"{max(summary['peak_uv']):.0f}",
            f"{median['excess_kurtosis']:.2f}",
            str(read),
        )
    return table


def _statistics(name: str, split: WindowSet, problems: list[str]) -> tuple[RunningStatistics, int]:
    """Over evenly spaced windows; those that are not finite are left out and become a problem."""
    rows = np.unique(np.linspace(0, len(split) - 1, min(len(split), _LOOKED_AT)).astype(int)).tolist()
    statistics, bad = RunningStatistics(split.info.n_channels), []
    for row in rows:
        try:
            window = split.signals([row])[0]
        except SdError:
            bad.append(row)
            continue
        statistics.add(window)
    if bad:
        problems.append(f"{name}: NaN or infinite samples in rows {', '.join(map(str, bad[:8]))}")
    return statistics, len(rows)


def _distinct(split: WindowSet | PictureSet, column: str) -> str:
    return str(len(set(split.column(column)))) if column in split.column_names else "-"


def _ages(split: WindowSet | PictureSet) -> str:
    ages = [age for age in split.column("age") if age is not None] if "age" in split.column_names else []
    return f"{min(ages):.0f}-{max(ages):.0f}" if ages else "-"


def _text(value: object) -> str:
    return "-" if value is None else str(value)
