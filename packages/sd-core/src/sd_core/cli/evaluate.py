"""`sd-evaluate`: judge a trained model, or windows from anywhere, beside the floor and the surrogates."""

from __future__ import annotations

from pathlib import Path

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence
from sd_core.errors import SdError

FOLDER = click.Path(path_type=Path)
OUT = "Where files go; default RUN, or GENERATED-evaluation."


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="[RUN]", type=FOLDER, required=False)
@click.option("-n", "--count", type=click.IntRange(min=1), help="Windows to judge; default evaluation.num_samples.")
@click.option("-o", "--output-dir", type=FOLDER, help=OUT)
@click.option("--real", type=FOLDER, metavar="DIR", help="Instead of a RUN: real windows, a dataset or .npz.")
@click.option("--generated", type=FOLDER, metavar="DIR", help="Beside --real: generated ones, a dataset or .npz.")
@click.option("--train", type=FOLDER, metavar="DIR", help="Training windows, where they are no split of --real.")
@click.option("--real-split", default="test", show_default=True, help="Of --real: the held-out windows.")
@click.option("--train-split", default="train", show_default=True, help="Of --train, or of --real.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of inference.seed; without a run 1.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@one_sentence
def main(
    *,
    source: Path | None,
    real: Path | None,
    generated: Path | None,
    train: Path | None,
    real_split: str,
    train_split: str,
    count: int | None,
    output_dir: Path | None,
    seed: int | None,
    overrides: tuple[str, ...],
) -> None:
    """Judge RUN, a run directory or a checkpoint, or windows from anywhere: metrics.json and report.html.

    \b
    sd-evaluate runs/demo
    sd-evaluate runs/demo -n 512 --set inference.cfg_scale=2.5 -o runs/demo/guided
    sd-evaluate --real data/eegmat --generated samples/ -o judged
    """  # noqa: D301 - click wants the backspace itself
    begin()
    _refuse_mixture(source, real, generated, train)
    from sd_core.cli.scores import show
    from sd_core.run.console import counting

    if real is not None and generated is not None:
        from sd_core.judging.foreign import SEED, judge_samples

        judgement = judge_samples(
            real,
            generated,
            train=train,
            splits=(real_split, train_split),
            out=output_dir,
            count=count,
            seed=SEED if seed is None else seed,
            overrides=overrides,
            counting=counting,
        )
    else:
        from sd_core.run.evaluate import evaluate

        assert source is not None
        drawn = overrides if seed is None else (*overrides, f"inference.seed={seed}")
        judgement = evaluate(source, overrides=drawn, out=output_dir, count=count, counting=counting)
    show(judgement.evaluation)
    for path in judgement.files:
        click.echo(str(path))


def _refuse_mixture(source: Path | None, real: Path | None, generated: Path | None, train: Path | None) -> None:
    """A run, or windows: not both, and not half of either."""
    if source is not None and (real or generated or train):
        raise SdError("name a RUN, or --real and --generated windows, not both")
    if source is None and (real is None or generated is None):
        raise SdError("name a RUN to judge, or the windows with both --real and --generated")


if __name__ == "__main__":
    main()
