"""The training story: data, parts, state, resume, then steps until done."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

from sd_core.config import sections
from sd_core.config.read import Run
from sd_core.disk import disk_errors
from sd_core.registry import Registry, discover
from sd_core.run.assemble import Assembly, assemble
from sd_core.run.base import check_base, lay_base
from sd_core.run.captions import CAPTION, prepare_captions
from sd_core.run.checkpoint import set_aside_later
from sd_core.run.console import Bar
from sd_core.run.data import training_batches
from sd_core.run.interrupt import StopRequest, stop_on_signal
from sd_core.run.latents import keep_latents
from sd_core.run.logs import JsonLines, keys_behind
from sd_core.run.lora import share
from sd_core.run.opening import OpenData, open_data, with_parts
from sd_core.run.optim import warmup_notice
from sd_core.run.origin import OriginCard
from sd_core.run.pretrained import start_weights
from sd_core.run.setup import build_accelerator, build_trainer
from sd_core.run.start import check_same_data, check_same_run, find_start
from sd_core.run.state import Progress
from sd_core.run.stored import load_representation
from sd_core.run.stream import SampleStream
from sd_core.run.trainer import Trainer
from sd_core.run.watching import Watchers, build_trackers

METRICS = "metrics.jsonl"
_log = logging.getLogger(__name__)


def train(run: Run, output_dir: Path, *, resume_from: str | None = None, registry: Registry | None = None) -> None:
    """Train what the run describes into `output_dir`.

    Args:
        run: a validated config.
        output_dir: holds everything about the run and nothing else.
        resume_from: a checkpoint folder, or "latest" for the newest intact one in `output_dir`.
        registry: the installed plugins, when the caller has them.

    Raises:
        SdError: anything that the user can mend.
    """
    registry = registry or discover()
    options = run.config.training
    checkpoint = find_start(output_dir, resume_from)
    if checkpoint is not None:
        check_same_run(run, checkpoint, registry)
    check_base(run, checkpoint)
    accelerator = build_accelerator(options)

    data = open_data(run, registry)
    if checkpoint is not None:
        check_same_data(checkpoint, data)
    assembly, origin = fit_parts(run, registry, data, checkpoint)
    assembly.to(accelerator.device)
    prepare_captions(assembly.network, data.train.labels.texts(CAPTION))
    data = replace(data, train=keep_latents(run, registry, data.train, assembly, accelerator.device))

    # the state that moves from step to step
    stream = SampleStream(
        len(data.train.source), options.seed, parts=assembly.representation.parts, weights=data.weights()
    )
    total = total_steps(options, stream.epoch_size, run.config.dataset.batch_size * accelerator.num_processes)
    trainer = build_trainer(
        run,
        registry,
        accelerator=accelerator,
        data=data,
        assembly=assembly,
        origin=origin,
        total=total,
        output_dir=output_dir,
    )
    if checkpoint is not None:
        trainer.load(checkpoint)

    if trainer.state.progress.step >= total and not lacks_end(trainer, stream.epoch_size, total, checkpoint):
        _log.warning("this run is already at step %d of %d; raise training.max_train_steps to go on", total, total)
        return

    # steps until done, or until told to stop
    with stop_on_signal() as request:
        trainer.watchers = open_watchers(run, registry, trainer, total, checkpoint)
        if trainer.watchers is not None and origin is not None:
            trainer.watchers.bar.say(share(assembly.network))
        try:
            run_steps(trainer, data, stream, workers=run.config.dataset.num_workers, total=total, request=request)
        finally:
            if trainer.watchers is not None:
                trainer.watchers.close()


def fit_parts(
    run: Run, registry: Registry, data: OpenData, checkpoint: Path | None
) -> tuple[Assembly, OriginCard | None]:
    """The parts that fit the data, with the weights and statistics to begin with; what adapters stand on, if any.

    Raises:
        SdError: parts that do not fit each other, or a checkpoint, codec or base that is not the one of this run.
    """
    assembly = assemble(run, registry, data.geometry, data.labels)
    if checkpoint is None:
        assembly.representation.fit(data.train.source)  # type: ignore[arg-type]
        start_weights(run, assembly)
    else:
        load_representation(checkpoint, assembly)
    return assembly, lay_base(run, assembly, registry, checkpoint)


def total_steps(options: sections.Training, epoch_size: int, batch_size: int) -> int:
    """Optimizer steps of the whole run; `batch_size` counts all processes' examples of a micro-step."""
    if options.max_train_steps is not None:
        return options.max_train_steps
    return math.ceil(options.epochs * epoch_size / (batch_size * options.gradient_accumulation_steps))


def open_watchers(
    run: Run, registry: Registry, trainer: Trainer, total: int, checkpoint: Path | None
) -> Watchers | None:
    """Create the run directory and open its files, on the main process only."""
    if not trainer.accelerator.is_main_process:
        return None
    if notice := warmup_notice(run.config.scheduler, total):
        _log.warning("%s", notice)
    folder, progress = trainer.output_dir, trainer.state.progress
    with disk_errors(folder, "name another --output-dir"):
        folder.mkdir(parents=True, exist_ok=True)
        trainer.story.write_run_files(folder)
    moved = checkpoint is not None and checkpoint.resolve().parent != folder.resolve()
    metrics = JsonLines(folder / METRICS, offset=None if moved else progress.metrics_offset)
    if checkpoint is not None and moved:
        metrics.inherit(checkpoint.parent / METRICS, progress.metrics_offset)
    elif checkpoint is not None:
        set_aside_later(checkpoint)
    return Watchers(
        trackers=build_trackers(run, registry, folder, None if checkpoint is None else progress.step),
        metrics=metrics,
        timing=JsonLines(folder / "timing.jsonl"),
        bar=Bar(total, progress.step),
    )


def run_steps(
    trainer: Trainer, data: OpenData, stream: SampleStream, *, workers: int, total: int, request: StopRequest
) -> None:
    """The loop: a step, then log, evaluate and save when it is time."""
    options, progress = trainer.options, trainer.state.progress
    split = with_parts(data.train, trainer.assembly.representation.parts)
    batches = training_batches(
        split, stream, trainer.shares, (progress.step, total), workers=workers, pin=trainer.device.type == "cuda"
    )
    calendar = Calendar(options, trainer.shares.per_step, stream.epoch_size)
    saved = progress.step == total  # all steps are done, only the end is missing
    trainer.model.train()
    with trainer.bar(calendar.evaluations(progress.step, total)):
        while progress.step < total and not trainer.guard.stop_requested:
            trainer.step(batches, bool(request))
            trainer.advance()
            if calendar.logs(progress.step):
                trainer.log()
            if calendar.evaluates(progress.step):
                trainer.evaluate()
            if calendar.saves(progress.step):
                trainer.save()
        finish(trainer, calendar, stopped=progress.step < total, saved=saved)
    trainer.say_end(total, request)


def lacks_end(trainer: Trainer, epoch_size: int, total: int, checkpoint: Path | None) -> bool:
    """Whether a run that has all its steps was killed before it wrote what comes after its last checkpoint."""
    progress, folder = trainer.state.progress, trainer.output_dir
    if checkpoint is None or checkpoint.resolve().parent != folder.resolve() or progress.step != total:
        return False
    calendar = Calendar(trainer.options, trainer.shares.per_step, epoch_size)
    written = keys_behind(folder / METRICS, progress.metrics_offset)
    log = calendar.ends_with_log(progress) and "loss" not in written
    loss = calendar.ends_with_evaluation(total) and "val_loss" not in written
    judged = bool(trainer.options.eval_num_windows) and trainer.story.card.geometry.info is not None
    scores = judged and calendar.ends_with_evaluation(total) and not any(key.startswith("eval/") for key in written)
    return log or loss or scores


def finish(trainer: Trainer, calendar: Calendar, *, stopped: bool, saved: bool) -> None:
    """Save where the run ends; then log and, unless somebody waits for it to stop, evaluate that moment too.

    Saving comes first: a longer run that resumes here drops what was written only because this one
    ended, and its metrics file is that of a run that never stopped.
    """
    progress = trainer.state.progress
    if not saved and not calendar.saves(progress.step):
        trainer.save()
    if calendar.ends_with_log(progress):
        trainer.log()
    if not stopped and calendar.ends_with_evaluation(progress.step):
        trainer.evaluate()


@dataclass(frozen=True)
class Calendar:
    """What is due after which step, counted from 1."""

    options: sections.Training
    per_step: int
    """Examples of an optimizer step."""
    epoch_size: int

    def logs(self, step: int) -> bool:
        """Whether scalars are written."""
        return step % self.options.log_every_steps == 0

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is written."""
        return step % self.options.checkpoint_interval == 0

    def evaluates(self, step: int) -> bool:
        """Whether the held-out loss and pictures are made."""
        if self.options.eval_strategy == "epoch":
            return step * self.per_step // self.epoch_size > (step - 1) * self.per_step // self.epoch_size
        interval = self.options.eval_num_steps
        return self.options.eval_strategy == "steps" and interval is not None and step % interval == 0

    def ends_with_log(self, progress: Progress) -> bool:
        """Whether the last losses of a run are still to be written after its last checkpoint."""
        return progress.loss_count > 0 and not self.logs(progress.step)

    def ends_with_evaluation(self, step: int) -> bool:
        """Whether the last step is still to be evaluated after its checkpoint."""
        return self.options.eval_strategy != "no" and not self.evaluates(step)

    def evaluations(self, done: int, total: int) -> int:
        """How many are to come after `done` steps; the last step of a run always has one."""
        if self.options.eval_strategy == "no":
            return 0
        return 1 + sum(map(self.evaluates, range(done + 1, total)))
