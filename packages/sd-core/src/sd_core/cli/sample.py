"""`sd-sample RUN -n 64 --to npz -o DIR`: draw windows from a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence
from sd_core.cli.evaluate import take_best
from sd_core.errors import SdError

WINDOWS = 64
TABLE = "Labels of each window: a header (class, caption, gender, health, age, ...) and a row a window."
TO = "Format: npz (replaces its archive of an earlier drawing), dataset (needs a new folder), or a plugin's."


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.option("-n", "--count", type=click.IntRange(min=1), help="Windows to draw: 64, or one a row of --conditions.")
@click.option("--to", "exporter", default="npz", show_default=True, help=TO)
@click.option("-o", "--output-dir", type=click.Path(path_type=Path), help="Where files go; default RUN/samples/NAME.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of inference.seed.")
@click.option("--best", is_flag=True, help="Take RUN/best.toml, what `sd-evaluate --sweep RUN` found; --set wins.")
@click.option("--class", "class_", metavar="NAME|INDEX", help="The class of all windows.")
@click.option("--caption", metavar="TEXT", help='The caption of all windows; "" asks for no condition.')
@click.option("--gender", metavar="F|M", help="Of all windows; so are --health and --age.")
@click.option("--health", metavar="NAME", help="Such as H or PD.")
@click.option("--age", metavar="YEARS")
@click.option("--conditions", type=click.Path(path_type=Path), metavar="FILE.csv", help=TABLE)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@one_sentence
def main(
    *,
    source: Path,
    count: int | None,
    exporter: str,
    output_dir: Path | None,
    seed: int | None,
    best: bool,
    conditions: Path | None,
    overrides: tuple[str, ...],
    **labels: str | None,
) -> None:
    """Draw EEG windows from RUN, a run directory or a checkpoint.

    A conditional model is asked for the labels given here. What is not given is that of train windows, drawn at
    random among those that have what is given; "unknown" asks for no value.

    \b
    sd-sample runs/demo -n 64 --to npz
    sd-sample runs/demo -n 64 --set inference.denoising_steps=30
    sd-sample runs/demo --class rest
    sd-sample runs/demo --gender F --health PD --age 63
    sd-sample runs/demo --caption "EEG of a woman, at rest" --set inference.cfg_scale=2
    sd-sample runs/demo --conditions wanted.csv --to dataset
    """  # noqa: D301 - click wants the backspace itself
    from sd_core.registry import discover

    begin()
    registry = discover()
    # The format and the folder are looked at first: a typo must not cost the time of sampling.
    write = registry.create("exporters", exporter, registry.options("exporters", exporter)())

    from sd_core.run.console import counting
    from sd_core.run.sample import drawn_labels, generate, load_run, provenance, run_dir_of
    from sd_core.windows.room import refuse_unwritable

    given = _given(labels, conditions)
    count = _count(count, conditions, len(given))

    if best:
        source, overrides = take_best(source, overrides)
    folder = output_dir or run_dir_of(source) / "samples" / exporter
    refuse_unwritable(folder)
    if hasattr(write, "check"):
        write.check(folder)

    loaded = load_run(source, overrides, registry=registry)
    if overrides:
        for notice in loaded.run.notices:
            click.echo(notice, err=True)
    if drawn := drawn_labels(loaded, given):
        click.echo(f"taken from train windows at random where not given: {', '.join(drawn)}", err=True)
    with counting("drawing windows", count) as tick:
        windows = generate(loaded, count, seed=seed, given=given, tick=tick)
    for path in write(windows, folder, provenance(loaded, count, seed, given)):
        click.echo(str(path))


def _given(labels: dict[str, str | None], table: Path | None) -> Sequence[Mapping[str, str]]:
    """The labels asked for: a row for all windows, or the rows of the table."""
    from sd_core.run.asked import read_conditions

    row = {name.rstrip("_"): text for name, text in labels.items() if text is not None}
    if table is None:
        return [row] if row else []
    if row:
        flags = ", ".join(f"--{name}" for name in row)
        raise SdError(f"--conditions says what each window is: put {flags} into a column of it")
    return read_conditions(table)


def _count(count: int | None, table: Path | None, rows: int) -> int:
    if table is None:
        return WINDOWS if count is None else count
    if count not in (None, rows):
        raise SdError(f"-n {count}: '{table}' holds {rows} rows, one for each window; leave -n out")
    return rows


if __name__ == "__main__":
    main()
