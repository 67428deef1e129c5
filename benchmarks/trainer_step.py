"""A step of the trainer against a bare PyTorch loop: same network, precision and fused optimizer.

The trainer's step reads its windows, encodes them, draws seeded noise and times, guards against
non-finite losses and keeps its averages; the bare loop is handed encoded examples and does none of it.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.timing import interleaved, show
from sd_core.config.read import Run, read_run
from sd_core.registry import Registry, discover
from sd_core.run.assemble import assemble
from sd_core.run.data import Batch, training_batches
from sd_core.run.opening import open_data, with_parts
from sd_core.run.setup import autocast, build_accelerator, build_trainer
from sd_core.run.stream import SampleStream
from sd_core.run.trainer import Trainer

Step = Callable[[], None]


def trained(run: Run, registry: Registry, steps: int, folder: Path) -> tuple[Trainer, Step, Batch]:
    """A trainer at step 0, its step as a function, and one batch of it."""
    accelerator = build_accelerator(run.config.training)
    data = open_data(run, registry)
    assembly = assemble(run, registry, data.geometry, data.labels)
    assembly.representation.fit(data.train.source)  # type: ignore[arg-type]
    assembly.to(accelerator.device)
    parts = assembly.representation.parts
    stream = SampleStream(len(data.train.source), run.config.training.seed, parts=parts)
    trainer = build_trainer(
        run,
        registry,
        accelerator=accelerator,
        data=data,
        assembly=assembly,
        total=steps,
        output_dir=folder,
        origin=None,
    )
    split = with_parts(data.train, parts)
    batches = training_batches(split, stream, trainer.shares, (0, steps), workers=0, pin=trainer.device.type == "cuda")
    batch = next(training_batches(split, stream, trainer.shares, (0, 1), workers=0, pin=False))
    trainer.model.train()
    return trainer, lambda: trainer.step(batches, False), batch.to(trainer.device)


def bare(trainer: Trainer, run: Run, batch: Batch) -> Step:
    """The loop that anybody would write, on a copy of the network."""
    network = copy.deepcopy(trainer.assembly.network)
    rate, limit = run.config.optimizer.learning_rate, run.config.training.gradient_clip_norm
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, betas=run.config.optimizer.betas, fused=True)
    precision = autocast(trainer.device, run.config.training.mixed_precision)
    with torch.no_grad():
        x0 = trainer.assembly.encode(batch.data, batch.part)
    predicts_data = trainer.assembly.network.denoiser.prediction_hint == "sample"

    def step() -> None:
        noise, t = torch.randn_like(x0), torch.sigmoid(torch.randn(len(x0), device=x0.device))
        tb = t[:, None, None, None]
        xt = (1 - tb) * x0 + tb * noise
        with precision():
            predicted = network(xt, t, batch.labels, part=batch.part)
        velocity = (xt - predicted.float()) / tb.clamp(min=0.05) if predicts_data else predicted.float()
        target = (xt - x0) / tb.clamp(min=0.05) if predicts_data else noise - x0
        (velocity - target).square().mean().backward()
        clip_grad_norm_(network.parameters(), limit or float("inf"))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


@click.command()
@click.argument("config", default="config/quickstart.toml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")
@click.option("--rounds", default=40, show_default=True)
def main(config: Path, overrides: tuple[str, ...], rounds: int) -> None:
    """Time both on the data and the sizes of CONFIG, with AdamW."""
    registry = discover()
    run = read_run(config, ("optimizer.name=adamw", *overrides), registry)
    with tempfile.TemporaryDirectory() as folder:
        trainer, ours, batch = trained(run, registry, rounds + 10, Path(folder))
        ways = {"sd-train": ours, "bare loop": bare(trainer, run, batch)}
        medians = interleaved(ways, rounds, warmup=3)
        trainer.guard.settle()
    size = sum(p.numel() for p in trainer.assembly.network.parameters()) / 1e6
    title = f"training step of {config}, {size:.1f} M parameters, {run.config.training.mixed_precision}"
    show(title, medians, unit="examples", work=trainer.shares.per_step, goal=0.95)


if __name__ == "__main__":
    main()
