"""`sd-evaluate`: judge a trained model, or windows from anywhere, beside the floor and the surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence
from sd_core.cli.sweeping import axes_of, refuse_axes, show_sweep, sweep_flags
from sd_core.errors import SdError

if TYPE_CHECKING:
    from sd_core.judging.results import Judgement

FOLDER = click.Path(path_type=Path)
OUT = "Where files go; default RUN, or GENERATED-evaluation."


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="[RUN]", type=FOLDER, required=False)
@click.option("-n", "--count", type=click.IntRange(min=1), help="Windows to judge; default evaluation.num_samples.")
@click.option("-o", "--output-dir", type=FOLDER, help=OUT)
@click.option("--best", is_flag=True, help="Take RUN/best.toml, the best setting of a sweep; --set wins over it.")
@click.option("--real", type=FOLDER, metavar="DIR", help="Instead of a RUN: real windows, a dataset or .npz.")
@click.option("--generated", type=FOLDER, metavar="DIR", help="Beside --real: generated ones, .npz or a whole dataset.")
@click.option("--train", type=FOLDER, metavar="DIR", help="Training windows, where they are no split of --real.")
@click.option("--real-split", metavar="NAME", help="Of --real: the held-out windows; default test.")
@click.option("--train-split", metavar="NAME", help="Of --train, or of --real; default train.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of inference.seed; without a run 1.")
@click.option("--sweep", is_flag=True, help="Try many settings on RUN: sweep.json, .csv, .svg and best.toml.")
@sweep_flags
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@one_sentence
def main(
    *,
    source: Path | None,
    best: bool,
    real: Path | None,
    generated: Path | None,
    train: Path | None,
    real_split: str | None,
    train_split: str | None,
    count: int | None,
    output_dir: Path | None,
    seed: int | None,
    sweep: bool,
    overrides: tuple[str, ...],
    **axes: str | None,
) -> None:
    """Judge RUN, a run directory or a checkpoint, or windows from anywhere: metrics.json and report.html.

    \b
    sd-evaluate runs/demo
    sd-evaluate runs/demo -n 512 --set inference.cfg_scale=2.5 -o runs/demo/guided
    sd-evaluate --sweep runs/demo --cfg-scale 1,1.5,2.5 --ema 0.05,0.1
    sd-evaluate runs/demo --best
    sd-evaluate --real data/eegmat --generated samples/ -o judged
    """  # noqa: D301 - click wants the backspace itself
    begin()
    beside = {"--real": real, "--generated": generated, "--train": train}
    _refuse_mixture(source, {**beside, "--real-split": real_split, "--train-split": train_split})
    if not sweep:
        refuse_axes(axes)
    if real is not None and generated is not None:
        if sweep or best:
            raise SdError("--sweep and --best need a RUN: windows alone cannot be drawn in another way")
        splits = (real_split or "test", train_split or "train")
        foreign = {"train": train, "splits": splits, "out": output_dir, "count": count, "overrides": overrides}
        _windows(real, generated, foreign, seed)
        return
    assert source is not None
    if sweep and best:
        raise SdError("--sweep finds what --best takes: leave one of them out")
    if best:
        source, overrides = take_best(source, overrides)
    chosen = overrides if seed is None else (*overrides, f"inference.seed={seed}")
    run = {"overrides": chosen, "out": output_dir, "count": count}
    if sweep:
        _sweep(source, run, axes)
    else:
        _run(source, run)


def take_best(source: Path, overrides: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """The checkpoint and settings of best.toml, said in one line; what is set by hand wins.

    Raises:
        SdError: there is no such file, or it is damaged.
    """
    from sd_core.run.best import read_best

    checkpoint, settings, said = read_best(source)
    click.echo(said, err=True)
    return checkpoint, (*settings, *overrides)


def _windows(real: Path, generated: Path, options: dict[str, Any], seed: int | None) -> None:
    from sd_core.judging.foreign import SEED, judge_samples
    from sd_core.run.console import counting

    seed = SEED if seed is None else seed
    _show(judge_samples(real, generated, **options, seed=seed, counting=counting))


def _run(source: Path, options: dict[str, Any]) -> None:
    from sd_core.run.console import counting
    from sd_core.run.evaluate import evaluate

    _show(evaluate(source, **options, counting=counting))


def _sweep(source: Path, options: dict[str, Any], axes: dict[str, str | None]) -> None:
    wanted = axes_of(axes)
    from sd_core.run.console import counting
    from sd_core.run.sweep import sweep

    swept = sweep(source, wanted, **options, counting=counting)
    show_sweep(swept.content)
    for path in swept.files:
        click.echo(str(path))


def _show(judgement: Judgement) -> None:
    from sd_core.cli.scores import show

    show(judgement.evaluation)
    for path in judgement.files:
        click.echo(str(path))


def _refuse_mixture(source: Path | None, beside: Mapping[str, Path | str | None]) -> None:
    """A run, or windows: not both, and not half of either."""
    named = [flag for flag, value in beside.items() if value is not None]
    if source is not None and named:
        raise SdError(f"name a RUN, or --real and --generated windows, not both: {', '.join(named)} is not of a RUN")
    if source is None and not {"--real", "--generated"} <= set(named):
        raise SdError("name a RUN to judge, or the windows with both --real and --generated")


if __name__ == "__main__":
    main()
