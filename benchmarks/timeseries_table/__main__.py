"""`python -m benchmarks.timeseries_table`: windows, training, samples and scores of every set, then the page."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.timeseries_table.published import SETS
from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence

ROOT = Path(__file__).resolve().parents[2]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--sets", default=",".join(SETS), show_default=True, help="Which sets, separated by commas.")
@click.option("--steps", type=click.IntRange(min=1), help="Training steps instead of the config's.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--tables", type=click.Path(path_type=Path), help="Folder of stock_data.csv and ETTh1.csv.")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("runs/timeseries-table"),
    show_default=True,
    help="Where datasets, runs and scores stay; a second call goes on from there.",
)
@click.option("--results", type=click.Path(path_type=Path), help="The page to write; default: OUTPUT_DIR/results.md.")
@one_sentence
def main(
    *,
    sets: str,
    steps: int | None,
    overrides: tuple[str, ...],
    tables: Path | None,
    output_dir: Path,
    results: Path | None,
) -> None:
    """Train, draw and score the sets of the external time-series table with config/timeseries-table.toml.

    \b
    python -m benchmarks.timeseries_table --results benchmarks/results/timeseries-table.md
    python -m benchmarks.timeseries_table --sets stocks,etth --steps 500
    """
    names = [name.strip() for name in sets.split(",")]
    if unknown := [name for name in names if name not in SETS]:
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(SETS)}", param_hint="--sets")
    begin()
    from benchmarks.timeseries_table.story import make_table

    if steps is not None:
        overrides = (*overrides, f"training.max_train_steps={steps}")
    page = results or output_dir / "results.md"
    make_table(names, output_dir, overrides, tables=tables, page=page, command=_command())
    click.echo(str(page))


def _command() -> str:
    import shlex
    import sys

    return shlex.join(["python", "-m", "benchmarks.timeseries_table", *sys.argv[1:]])


if __name__ == "__main__":
    main()
