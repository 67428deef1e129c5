"""The held-out loss: always the same windows, the same noise, the same times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sd_core.run.assemble import Assembly
from sd_core.run.data import Batch, Split
from sd_core.run.randomness import Stream, normal, permutation
from sd_core.task import Labels

Predict = Callable[[Tensor, Tensor, Labels, Tensor], Tensor]
"""(x, t, labels, part) -> the network's prediction."""


@dataclass(frozen=True)
class HeldOut:
    """A fixed table of (example, noise, t), dealt to processes by rank.

    Examples are evenly spaced over the split; quantiles of t are evenly spaced and permuted, so that
    no time goes with one recording.
    """

    split: Split
    count: int
    seed: int
    batch_size: int

    def batches(self, rank: int, processes: int) -> Iterator[Batch]:
        """This process's part of the table; `position` is the row of the table."""
        examples = np.linspace(0, len(self.split.source) * self.split.parts - 1, self.count).round().astype(np.int64)
        mine = np.arange(rank, self.count, processes)
        for start in range(0, len(mine), self.batch_size):
            rows = mine[start : start + self.batch_size]
            yield self.split.batch(rows.tolist(), examples[rows].tolist())

    @torch.no_grad()
    def loss_sum(
        self, assembly: Assembly, predict: Predict, device: torch.device, *, rank: int = 0, processes: int = 1
    ) -> Tensor:
        """Sum of losses over this process's rows, float64 scalar."""
        order = permutation(self.seed, Stream.HELD_OUT, 2**40, self.count)
        quantiles = ((order.double() + 0.5) / self.count).to(device)
        total = torch.zeros((), dtype=torch.float64, device=device)
        for fetched in self.batches(rank, processes):
            batch = fetched.to(device)
            x0 = assembly.encode(batch.data, batch.part)
            noise = normal(self.seed, Stream.HELD_OUT, batch.position, x0.shape[1:])
            t = assembly.objective.timesteps(quantiles[batch.position]).float()

            def denoise(x: Tensor, t: Tensor, batch: Batch = batch) -> Tensor:
                return predict(x, t, batch.labels, batch.part)

            total += assembly.objective.loss(denoise, x0, noise, t).double().sum()
        return total
