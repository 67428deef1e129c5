"""`sd-train CONFIG --output-dir DIR`: the face of the project."""

from __future__ import annotations

from pathlib import Path

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--output-dir", type=click.Path(path_type=Path), help="Where the run goes; created if needed.")
@click.option(
    "--resume-from-checkpoint",
    metavar="PATH|latest",
    help="Continue from a checkpoint folder, or from the newest intact one in --output-dir.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print what the config sets, sizes and costs, then stop.")
@one_sentence
def main(
    config: Path,
    output_dir: Path | None,
    resume_from_checkpoint: str | None,
    overrides: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train a diffusion model of EEG as the TOML file CONFIG says.

    \b
    sd-train config/quickstart.toml --output-dir runs/demo
    sd-train config/quickstart.toml --output-dir runs/demo --resume-from-checkpoint latest
    """  # noqa: D301 - click wants the backspace itself
    from sd_core.config.read import read_run
    from sd_core.registry import discover

    begin()
    registry = discover()
    run = read_run(config, overrides, registry)
    for notice in run.notices:
        click.echo(notice, err=True)
    if dry_run:
        from sd_core.run.dryrun import describe_run

        click.echo(describe_run(run, registry))
        return
    if output_dir is None:
        raise click.UsageError("Missing option '--output-dir'.")
    from sd_core.run.train import train

    train(run, output_dir, resume_from=resume_from_checkpoint, registry=registry)


if __name__ == "__main__":
    main()
