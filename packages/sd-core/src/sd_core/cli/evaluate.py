"""`sd-evaluate RUN`: judge a trained model, beside the floor and the surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.option("-n", "--count", type=click.IntRange(min=1), help="Windows to draw; default evaluation.num_samples.")
@click.option("-o", "--output-dir", type=click.Path(path_type=Path), help="Where files go; default RUN.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@one_sentence
def main(source: Path, count: int | None, output_dir: Path | None, overrides: tuple[str, ...]) -> None:
    """Judge RUN, a run directory or a checkpoint: metrics.json and report.html.

    \b
    sd-evaluate runs/demo
    sd-evaluate runs/demo -n 512 --set inference.cfg_scale=2.5 -o runs/demo/guided
    """  # noqa: D301 - click wants the backspace itself
    begin()
    from sd_core.run.console import counting
    from sd_core.run.evaluate import evaluate

    judgement = evaluate(source, overrides=overrides, out=output_dir, count=count, counting=counting)
    show(judgement.evaluation)
    for path in judgement.files:
        click.echo(str(path))


def show(evaluation: Mapping[str, Any]) -> None:
    """The verdict and the scores that it is about, on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    references = evaluation["references"]
    table = Table(box=None, pad_edge=False)
    table.add_column("score")
    for title in ("generated", *references.values()):
        table.add_column(title, justify="right")
    for entry in evaluation["scores"].values():
        if not entry["detail"]:
            numbers = {"floor": entry["floor"], **entry["surrogates"]}
            unit = f" ({entry['unit']})" if entry["unit"] else ""
            values = [entry["value"], *(numbers[name] for name in references)]
            table.add_row(entry["title"] + unit, *map(_number, values))
    console.print(table)
    console.print()
    for sentence in (*evaluation["verdict"], *evaluation["notes"]):
        console.print(sentence, markup=False)
    console.print()


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
