"""One optimizer step, and what happens between steps: log, evaluate, save."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from torch import Tensor, nn

from sd_core.config import sections
from sd_core.diffusion.timesteps import stratify
from sd_core.run.assemble import Assembly
from sd_core.run.checkpoint import rotate, write_checkpoint
from sd_core.run.data import Batch
from sd_core.run.guard import Guard
from sd_core.run.interrupt import StopRequest
from sd_core.run.optim import Schedule, set_learning_rate
from sd_core.run.previews import Previews
from sd_core.run.randomness import Stream, normal, permutation, torch_seed, uniform
from sd_core.run.state import TrainState
from sd_core.run.stored import Story
from sd_core.run.stream import Shares
from sd_core.run.watching import Stopwatch, Watchers

_SECOND_DRAW = 2**40
"""Added to an index to draw again from the same stream."""


@dataclass
class Trainer:
    """The parts of a running training; `train.py` tells the story."""

    accelerator: Accelerator
    options: sections.Training
    cfg_dropout: float
    assembly: Assembly
    model: nn.Module
    """The network as accelerate wrapped it."""
    schedule: Schedule
    state: TrainState
    shares: Shares
    guard: Guard
    previews: Previews
    story: Story
    output_dir: Path
    watchers: Watchers | None = None
    """Set on the main process when the steps begin."""

    def __post_init__(self) -> None:
        self.device = self.accelerator.device
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self._norm = torch.zeros((), device=self.device)
        self._watch = Stopwatch()
        self._steps_timed = 0

    def load(self, checkpoint: Path) -> None:
        """Continue from a verified checkpoint."""
        self.state.load(checkpoint)
        self._loss_sum += self.state.progress.loss_sum
        self._norm += self.state.progress.grad_norm

    def step(self, batches: Iterator[Batch], wants_stop: bool) -> None:
        """One optimizer step: micro-steps, clip, guard, optimizers, averages."""
        number = self.state.progress.step
        set_learning_rate(self.state.optimizers, self.schedule(number))
        times = self._times(number)
        total = torch.zeros((), device=self.device)
        rows = []
        for micro in range(self.shares.micro_steps):
            batch = self._next(batches)
            last = micro == self.shares.micro_steps - 1
            torch.manual_seed(torch_seed(self.options.seed, number + 1, micro, self.shares.rank))
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self._loss(batch, times[self.shares.slice_of(micro)]) / self.shares.micro_steps
                self.accelerator.backward(loss)
            total += loss.detach()
            rows.append(batch.row)
        self._norm = self._clip()
        self.guard.check(number + 1, total, self._norm, rows, wants_stop)
        if self._move():
            self.state.averages.update(number + 1)
        self._count(total)

    def _times(self, number: int) -> Tensor:
        """Times of the step's whole global batch, stratified and dealt at random."""
        seed, count = self.options.seed, self.shares.per_step
        order = permutation(seed, Stream.TIMES, number, count)
        jitter = uniform(seed, Stream.TIMES, torch.tensor([number + _SECOND_DRAW]), count)[0]
        quantiles = stratify(jitter, order).to(self.device, non_blocking=True)
        return self.assembly.objective.timesteps(quantiles).float()

    def _next(self, batches: Iterator[Batch]) -> Batch:
        begun = time.perf_counter()
        batch = next(batches)
        self._watch.waited += time.perf_counter() - begun
        return batch.to(self.device)

    def _loss(self, batch: Batch, t: Tensor) -> Tensor:
        seed = self.options.seed
        with torch.no_grad():
            x0 = batch.data if batch.encoded else self.assembly.encode(batch.data, batch.part)
            noise = normal(seed, Stream.NOISE, batch.position, x0.shape[1:])
            dropped = uniform(seed, Stream.DROPOUT, batch.position)[:, 0] < self.cfg_dropout

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            predicted: Tensor = self.model(x, t, batch.labels, part=batch.part, dropped=dropped)
            return predicted

        return self.assembly.objective.loss(denoise, x0, noise, t).mean()

    def _clip(self) -> Tensor:
        limit = self.options.gradient_clip_norm
        if self.state.scaler is not None:
            for optimizer in self.state.optimizers:
                self.state.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), float("inf") if limit is None else limit)
        return norm.detach()

    def _move(self) -> bool:
        """Let the optimizers step, once; with an fp16 scaler not where a gradient overflowed.

        Accelerate's wrapped optimizers would each update the scaler, so that the second of two would
        divide its gradients by the scale again; and a fused one never reports that it skipped.
        """
        scaler = self.state.scaler
        moves = scaler is None or bool(torch.isfinite(self._norm))
        for optimizer in self.state.optimizers:
            if moves and scaler is None:
                optimizer.step()
            elif moves:
                scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        if scaler is not None:
            scaler.update()
        self.guard.count_skips(self.state.progress.step + 1, skipped=not moves)
        return moves

    def _count(self, loss: Tensor) -> None:
        progress = self.state.progress
        self._loss_sum += loss
        progress.loss_count += 1
        progress.step += 1
        self._steps_timed += 1

    def bar(self, evaluations: int) -> AbstractContextManager[object]:
        """The progress bar, where there is one, told how many evaluations are to come."""
        return nullcontext() if self.watchers is None else self.watchers.bar.expecting(evaluations)

    def advance(self) -> None:
        """Show that a step is done."""
        if self.watchers is not None:
            self.watchers.bar.advance(self.state.progress.step)

    def say_end(self, total: int, request: StopRequest) -> None:
        """The last sentence of a run."""
        if self.watchers is None:
            return
        step = self.state.progress.step
        if step < total:
            name = "another process" if request.signal is None else request.signal.name
            self.watchers.bar.say(
                f"stopped by {name} after step {step} of {total}; saved {self.output_dir / f'checkpoint-{step}'}, "
                "continue with --resume-from-checkpoint latest"
            )
        else:
            self.watchers.bar.say(f"done: {step} steps, {self.output_dir / f'checkpoint-{step}'}")

    def log(self) -> None:
        """Write the mean loss since the last line, and the speed."""
        self.guard.settle()
        self._fold_loss()
        progress = self.state.progress
        values = {
            "loss": progress.loss_sum / progress.loss_count,
            "learning_rate": self.state.optimizers[-1].param_groups[0]["lr"],
            "grad_norm": float(self._norm),
        }
        progress.loss_sum, progress.loss_count = 0.0, 0
        self._loss_sum.zero_()
        speed = self._watch.read(self._steps_timed * self.shares.per_step) if self._steps_timed else {}
        self._steps_timed = 0
        if self.watchers is not None:
            self.watchers.metric(values, progress.step)
            if speed:
                self.watchers.speed(speed, progress.step)
            self.watchers.bar.report({**values, **speed})

    def _fold_loss(self) -> None:
        """Average the running sum over processes into the counters."""
        if self.accelerator.num_processes > 1:
            self._loss_sum = reduce(self._loss_sum, reduction="mean")
        self.state.progress.loss_sum = float(self._loss_sum)

    def evaluate(self) -> None:
        """Held-out loss, pictures and scores, from averaged weights."""
        self.guard.settle()
        begun = time.perf_counter()
        if self.watchers is not None:
            self.watchers.bar.evaluating()
        with self.state.averages.applied():
            self.model.eval()
            self.previews.show(self.watchers, self.output_dir, self.state.progress.step)
            self.model.train()
        self.accelerator.wait_for_everyone()
        if self.watchers is not None:
            self.watchers.bar.evaluated()
        self._watch.begun += time.perf_counter() - begun

    def save(self) -> None:
        """A checkpoint of this moment; the oldest go when there are too many."""
        self.guard.settle()
        self._fold_loss()
        self.state.progress.grad_norm = float(self._norm)
        begun = time.perf_counter()
        if self.watchers is not None:
            self.state.progress.metrics_offset = self.watchers.metrics.offset
            written = write_checkpoint(self.output_dir, self.state.progress.step, self._write)
            rotate(written, self.options.checkpoint_total_limit)
        self.accelerator.wait_for_everyone()
        self._watch.begun += time.perf_counter() - begun

    def _write(self, folder: Path) -> None:
        self.state.save(folder)
        self.story.write(folder, self.assembly)
