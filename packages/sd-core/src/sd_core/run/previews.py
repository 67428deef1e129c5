"""What a training shows of itself: the held-out loss, samples beside real examples, scores of drawn windows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from PIL import Image
from torch import Tensor

from sd_core.run.checkups import Checkups
from sd_core.run.data import Batch
from sd_core.run.drawing import Drawer
from sd_core.run.harmless import Harmless
from sd_core.run.heldout import HeldOut
from sd_core.run.watching import Watchers
from sd_core.task import Labels


@dataclass(frozen=True)
class Previews:
    """Evaluations inside a training; the caller has put averaged weights in place."""

    accelerator: Accelerator
    held_out: HeldOut | None
    drawer: Drawer
    pictures_count: int
    checkups: Checkups | None = None
    """On the main process, where `[training] eval_num_windows` asks for them."""
    harmless: Harmless = field(default_factory=Harmless)

    def show(self, watchers: Watchers | None, output_dir: Path, step: int) -> None:
        """Everything that an evaluation shows; whatever fails is said once and ends nothing.

        All processes call it, since all take their part of the held-out loss; the rest has no collective in it.
        """
        loss = self.held_out_loss()
        if watchers is None:
            return
        if loss is not None:
            self.harmless.attempt("writing the held-out loss", lambda: watchers.metric({"val_loss": loss}, step))
            watchers.bar.report({"val_loss": loss})
        self.harmless.attempt("drawing pictures", lambda: self.pictures(watchers, output_dir, step))
        if self.checkups is not None and (scores := self.checkups.scores()):
            self.harmless.attempt("writing the scores", lambda: watchers.scores(scores.flat, scores.line, step))

    def held_out_loss(self) -> float | None:
        """Mean loss over the fixed table, over all processes; None where it failed on this one."""
        if self.held_out is None:
            raise ValueError("this run has no held-out split")
        total = self.harmless.attempt("the held-out loss", self._own_loss)
        # A process that failed joins the sum all the same: the others wait for it.
        summed = (
            torch.full((), math.nan, dtype=torch.float64, device=self.accelerator.device) if total is None else total
        )
        if self.accelerator.num_processes > 1:
            summed = reduce(summed, reduction="sum")
        return None if total is None else float(summed) / self.held_out.count

    def _own_loss(self) -> Tensor:
        assert self.held_out is not None
        return self.held_out.loss_sum(
            self.drawer.assembly,
            self._predict,
            self.accelerator.device,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )

    def _predict(self, x: Tensor, t: Tensor, labels: Labels, part: Tensor) -> Tensor:
        with self.drawer.autocast():
            predicted: Tensor = self.drawer.assembly.network(x, t, labels, part=part)
        return predicted.float()

    def pictures(self, watchers: Watchers, output_dir: Path, step: int) -> None:
        """Samples with the same noise each time, with the labels of real examples shown beside them."""
        if self.held_out is None or self.pictures_count == 0:
            return
        table = replace(self.held_out, count=self.pictures_count, batch_size=self.pictures_count)
        batch = next(table.batches(0, 1)).to(self.accelerator.device)
        picture = self.drawer.assembly.representation.picture
        drawn = picture(self.drawer.examples(batch.position, batch.labels, self._part(batch)))
        watchers.images("generated", drawn, step)
        real = picture(self._encode(batch))
        watchers.images("real", real, step)
        save_grid(output_dir / "samples" / f"step-{step:07d}.png", real, drawn)

    def _part(self, batch: Batch) -> Tensor | None:
        return batch.part if self.drawer.assembly.representation.parts > 1 else None

    def _encode(self, batch: Batch) -> Tensor:
        return self.drawer.assembly.representation.encode(batch.data, self._part(batch))


def save_grid(path: Path, real: Tensor, generated: Tensor) -> None:
    """A PNG with real pictures (B, 3, H, W) in the top row and generated ones below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [torch.cat(list(_spaced(pictures.cpu())), dim=2) for pictures in (real, generated)]
    grid = torch.cat(rows, dim=1).clamp(0, 1)
    Image.fromarray((grid.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)


def _spaced(pictures: Tensor) -> Tensor:
    """Pictures with a white margin, so that neighbours do not run into each other."""
    return torch.nn.functional.pad(pictures, (4, 4, 4, 4), value=1.0)
