"""The scores of real people and of surrogates on eegmat, beside the values that EEG.md was written with.

The published values are one draw of 18 people against 18. Where fewer are at hand, people are drawn several times
into two groups of several sizes; a mean over n people strays from its group by 1 / sqrt(n), so a distance d between
two groups follows d^2 = a + b / n, which is read at n = 18; a is zero where chance alone sets the groups apart.
Scores without such a law stand as they are at the largest n. The spread is that over draws of the largest groups.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.reference_values import COLUMNS, GROUP, LOUDER, OTHERS, PUBLISHED_PEOPLE, ROWS, SHARED, SLOW, WHITE
from sd_core.judging.gather import in_memory
from sd_core.judging.judge import subset
from sd_core.judging.surrogates import gaussian, phase_randomised
from sd_core.plugin import SdError, Windows
from sd_core.protocols import Metric
from sd_core.registry import discover
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_data.corpora.eegmat import EegmatCorpus
from sd_data.options import EegmatOptions

SOURCE = Path(__file__).resolve().parents[2] / "shared" / "data" / "eegmat"
SIZES = (5, 7, 10)
"""People a side, up to half of those at hand."""

Key = tuple[str, str]
"""(row, title of the column)."""
Values = Mapping[Key, float]


@dataclass(frozen=True)
class Cell:
    """One score of one row."""

    value: float
    """At as many people as the published one, where a law is known."""
    spread: float
    """Standard deviation over draws at the largest size."""
    published: float

    @property
    def deviates(self) -> float:
        """How many spreads the published value is away."""
        return abs(self.value - self.published) / max(self.spread, 0.01 * abs(self.published), 0.005)


def as_recorded(source: Path) -> Windows:
    """Every window of the 19 electrodes against linked ears, unfiltered: what the published values were measured on.

    Raises:
        SdError: the folder does not hold the recordings.
    """
    options = EegmatOptions(
        source=str(source),
        channels=("1020-19",),
        reference="original",
        low_hz=0,
        high_hz=0,
        notch_hz=0,
        peak_uv=0,
        split=(1, 0, 0),
    )
    with tempfile.TemporaryDirectory() as folder:
        EegmatCorpus(options).build(Path(folder) / "windows")
        windows = open_split(Path(folder) / "windows", "train")
        assert isinstance(windows, WindowSet)
        return in_memory(windows, len(windows), 0)


def metrics_of(left_out: frozenset[str] = frozenset()) -> dict[str, Metric]:
    """The metrics of the table, as they are shipped."""
    registry = discover()
    names = {column.metric for column in COLUMNS} - left_out
    return {name: registry.create("metrics", name, registry.options("metrics", name)()) for name in sorted(names)}


def draws(windows: Windows, size: int, repeats: int, seed: int = 0) -> Iterator[tuple[Windows, Windows]]:
    """Two groups of `size` people each, `repeats` times."""
    subjects = np.asarray(windows.columns["subject"])
    people = np.unique(subjects)
    if 2 * size > len(people):
        raise SdError(f"there are {len(people)} people, {2 * size} are needed for {size} against {size}")
    for repeat in range(repeats):
        order = np.random.default_rng([seed, repeat]).permutation(people)
        first, second = (np.flatnonzero(np.isin(subjects, group)) for group in (order[:size], order[size : 2 * size]))
        yield subset(windows, first), subset(windows, second)


def candidates(train: Windows, seed: int) -> dict[str, Windows]:
    """What is held against other people; all carry the people that they were made from."""
    rows = np.arange(len(train))
    made = {
        OTHERS: train,
        SHARED: phase_randomised(train, rows, seed),
        GROUP: gaussian(train, rows, seed),
        WHITE: white(train, seed),
        LOUDER: replace(train, signal=np.asarray(1.2 * train.signal, dtype=np.float32)),
    }
    return {name: replace(windows, columns=train.columns) for name, windows in made.items()}


def white(train: Windows, seed: int) -> Windows:
    """White Gaussian noise with the mean covariance of the windows."""
    signal = train.signal.astype(np.float64)
    covariance = np.mean(signal @ signal.transpose(0, 2, 1) / train.info.n_samples, axis=0)
    noise = np.random.default_rng([seed, 9]).standard_normal(signal.shape)
    return replace(train, signal=np.asarray(np.linalg.cholesky(covariance) @ noise, dtype=np.float32))


def measured(real: Windows, train: Windows, metrics: Mapping[str, Metric], seed: int) -> dict[Key, float]:
    """Every cell for one draw."""
    found = {}
    for row, windows in candidates(train, seed).items():
        scores = {name: metric(real, windows, train) for name, metric in metrics.items()}
        for column in COLUMNS:
            if column.metric in scores:
                found[row, column.title] = scores[column.metric][column.score]
    return found


def table(by_size: Mapping[int, Sequence[Values]]) -> dict[Key, Cell]:
    """Cells from the draws at every size: people a side -> one set of values per draw."""
    largest = by_size[max(by_size)]
    cells = {}
    for column in COLUMNS:
        for row in ROWS:
            key = (row, column.title)
            if key not in largest[0]:
                continue
            means = {
                size: _power_mean([draw[key] for draw in found], column.law)
                for size, found in by_size.items()
                if key in found[0]
            }
            value = _at(PUBLISHED_PEOPLE, means, chance=row in column.chance) if column.law else means[max(means)]
            cells[key] = Cell(
                value=max(value, 0.0) ** (1 / max(column.law, 1)),
                spread=float(np.std([draw[key] for draw in largest], ddof=1)),
                published=column.published[row],
            )
    return cells


def _power_mean(values: Sequence[float], law: int) -> float:
    return float(np.mean(np.asarray(values) ** max(law, 1)))


def _at(people: int, means: Mapping[int, float], *, chance: bool) -> float:
    """a + b / n fitted to the means by least squares, weighted by n since small groups scatter more; a, b >= 0."""
    sizes = np.array(list(means), dtype=np.float64)
    values = np.array(list(means.values()))
    slope, level = np.polyfit(1 / sizes, values, 1, w=sizes) if len(sizes) > 1 else (0.0, values[0])
    if chance or level < 0:
        return float(np.average(values * sizes, weights=sizes) / people)
    return float(level + slope / people if slope > 0 else np.average(values, weights=sizes))


def show(cells: Mapping[Key, Cell]) -> None:
    """Print ours, its spread, and the published values below each other."""
    titles = [column.title for column in COLUMNS if (ROWS[0], column.title) in cells]
    shown = Table("", "", *titles, title="ours +- spread over draws / published (* = more than two spreads apart)")
    for row in ROWS:
        ours = [cells[row, title] for title in titles]
        shown.add_row(row, "ours", *(f"{_short(cell.value)} ±{_short(cell.spread)}" for cell in ours))
        shown.add_row(
            "",
            "EEG.md",
            *(_short(cell.published) + ("*" if cell.deviates > 2 else "") for cell in ours),
            end_section=True,
        )
    Console(width=200).print(shown)
    for column in COLUMNS:
        if column.differs:
            click.echo(f"{column.title}: {column.differs}")


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def collect(
    windows: Windows,
    metrics: Mapping[str, Metric],
    repeats: int,
    sizes: Sequence[int] = SIZES,
    tick: Callable[[], object] = lambda: None,
) -> dict[int, list[dict[Key, float]]]:
    """The draws of every size that leaves two groups, and of the largest; components without a law only there."""
    people = len(set(windows.columns["subject"]))
    largest = min(people // 2, PUBLISHED_PEOPLE)
    sizes = [size for size in sizes if size < largest] + [largest]
    lawless = {column.metric for column in COLUMNS if not column.law}
    found: dict[int, list[dict[Key, float]]] = {}
    for size in sizes:
        asked = {name: metric for name, metric in metrics.items() if size == largest or name not in lawless}
        found[size] = []
        for seed, (train, real) in enumerate(draws(windows, size, repeats)):
            found[size].append(measured(real, train, asked, seed))
            tick()
    return found


@click.command()
@click.argument("source", type=click.Path(path_type=Path), default=SOURCE)
@click.option("--repeats", default=8, show_default=True, help="Draws of people at each size.")
@click.option("--fast", is_flag=True, help="Without the classifiers.")
def main(source: Path, repeats: int, fast: bool) -> None:
    """Measure the table on the recordings in SOURCE; some minutes."""
    windows = as_recorded(source)
    people = len(set(windows.columns["subject"]))
    click.echo(f"{len(windows)} windows of {people} people, {windows.info}")
    metrics = metrics_of(SLOW if fast else frozenset())
    show(table(collect(windows, metrics, repeats, tick=lambda: click.echo(".", nl=False))))


if __name__ == "__main__":
    main()
