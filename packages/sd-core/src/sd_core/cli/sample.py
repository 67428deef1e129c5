"""`sd-sample RUN -n 64 --to npz -o DIR`: draw windows from a trained model."""

from __future__ import annotations

from pathlib import Path

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence

TO = "Format: npz (replaces its archive of an earlier drawing), dataset (needs a new folder), or a plugin's."


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.option("-n", "--count", default=64, show_default=True, type=click.IntRange(min=1), help="Windows to draw.")
@click.option("--to", "exporter", default="npz", show_default=True, help=TO)
@click.option("-o", "--output-dir", type=click.Path(path_type=Path), help="Where files go; default RUN/samples/NAME.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of inference.seed.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@one_sentence
def main(
    *,
    source: Path,
    count: int,
    exporter: str,
    output_dir: Path | None,
    seed: int | None,
    overrides: tuple[str, ...],
) -> None:
    """Draw EEG windows from RUN, a run directory or a checkpoint.

    \b
    sd-sample runs/demo -n 64 --to npz
    sd-sample runs/demo -n 64 --set inference.denoising_steps=30
    """  # noqa: D301 - click wants the backspace itself
    from sd_core.registry import discover

    begin()
    registry = discover()
    # The format and the folder are looked at first: a typo must not cost the time of sampling.
    write = registry.create("exporters", exporter, registry.options("exporters", exporter)())

    from sd_core.run.console import counting
    from sd_core.run.sample import generate, load_run, provenance, run_dir_of
    from sd_core.windows.room import refuse_unwritable

    folder = output_dir or run_dir_of(source) / "samples" / exporter
    refuse_unwritable(folder)
    if hasattr(write, "check"):
        write.check(folder)

    loaded = load_run(source, overrides, registry=registry)
    if overrides:
        for notice in loaded.run.notices:
            click.echo(notice, err=True)
    with counting("drawing windows", count) as tick:
        windows = generate(loaded, count, seed=seed, tick=tick)
    for path in write(windows, folder, provenance(loaded, count, seed)):
        click.echo(str(path))


if __name__ == "__main__":
    main()
