"""`sd-data download NAME`, `sd-data build NAME -o OUT`, `sd-data inspect DIR`: recordings to windows, and a look."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from sd_core.cli.errors import one_sentence


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make window datasets from EEG recordings, and look into them."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)


@main.command()
@click.argument("name")
@click.option("--source", metavar="DIR", help="Folder of the recordings.")
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--channels", metavar="A,B,...", help="Electrodes in order, or a named set such as 1020-19.")
@click.option("--interpolate", is_flag=True, help="Compute missing and bad electrodes from the others.")
@click.option("--skip-bad", is_flag=True, help="Leave out recordings that cannot be used, and count them.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that read and clean recordings.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change an option of the corpus; repeatable."
)
@one_sentence
def build(  # noqa: PLR0917 (click passes them by name)
    name: str,
    source: str | None,
    out: Path,
    channels: str | None,
    interpolate: bool,
    skip_bad: bool,
    workers: int | None,
    settings: tuple[str, ...],
) -> None:
    """Build the corpus NAME as a window dataset, once, for every representation.

    \b
    sd-data build eegmat --source ~/eegmat -o data/eegmat
    sd-data build files --source ~/recordings -o data/lab --workers 4
    sd-data build demo -o data/demo --set effect_scale=3
    sd-data build meta -o data/all --set 'parts=["data/eegmat", "data/lab"]' --channels 1020-19

    `sd-plugins NAME` lists the options of a corpus.
    """  # noqa: D301 - click wants the backspace itself
    from sd_core.plugin import SdError
    from sd_core.registry import discover
    from sd_data.build.choices import read_options

    registry = discover()
    flags = {
        "source": source,
        "channels": [part.strip() for part in channels.split(",")] if channels else None,
        "interpolate": interpolate,
        "skip_bad": skip_bad,
        "workers": workers,
    }
    options = read_options(name, registry.options("corpora", name), flags, settings)
    if out.exists():
        raise SdError(f"'{out}' exists already: remove it or name another folder")
    registry.create("corpora", name, options).build(out)
    from sd_data.inspect import print_report

    print_report(out)


@main.command()
@click.argument("name")
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--url", help="A mirror in the layout of the original.")
@one_sentence
def download(name: str, out: Path, url: str | None) -> None:
    """Fetch the published recordings of the corpus NAME; run again, it goes on where it was.

    \b
    sd-data download eegmat -o ~/eegmat
    sd-data build eegmat --source ~/eegmat -o data/eegmat
    """  # noqa: D301 - click wants the backspace itself
    from sd_data.corpora.downloads import download

    download(name, out, url)


@main.command()
@click.argument("name", metavar="DIR")
@click.option(
    "--data-root", default=".", help="Folder that relative names are looked up in.", envvar="SIGNAL_DIFFUSION_DATA"
)
@click.option("--balance", default="corpus,gender,health", metavar="A,B,...", help="Columns of the table of weights.")
@click.option("--power", default=1.0, help="[dataset] balance_power of that table.")
@click.option("--cap", default=10.0, type=click.FloatRange(min=1), help="[dataset] max_sampling_weight of that table.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Draw the same, and pictures, in this file.")
@one_sentence
def inspect(  # noqa: PLR0917 (click passes them by name)
    name: str, data_root: str, balance: str, power: float, cap: float, page: Path | None
) -> None:
    """Show splits, subjects, labels, balance and amplitudes of a dataset, and what is wrong with it.

    Exit code 2 when something is.
    """
    from sd_core.windows.locate import locate
    from sd_data.inspect import Balance, inspect_dataset

    columns = tuple(part.strip() for part in balance.split(",") if part.strip())
    inspect_dataset(locate(name, data_root), Balance(columns, power, cap), page)


if __name__ == "__main__":
    main()
