"""Which example stands at each place of the training: one stream, whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sd_core.run.randomness import Stream, permutation, uniform
from sd_core.windows.balance import systematic_resample

Ints = NDArray[np.int64]


class SampleStream:
    """The endless stream of examples, indexed by the global sample count (after EDM2's sampler).

    An example is a (window, part) pair, numbered window * parts + part. Each epoch is a seeded
    permutation; with weights, a seeded systematic resample of the windows, then permuted.
    """

    def __init__(self, windows: int, seed: int, *, parts: int = 1, weights: NDArray[np.float64] | None = None) -> None:
        self.epoch_size = windows * parts
        self._windows, self._parts, self._seed, self._weights = windows, parts, seed, weights
        self._orders: dict[int, Ints] = {}

    def examples(self, positions: Ints) -> Ints:
        """Example numbers at these global sample counts, same shape."""
        epochs, places = np.divmod(positions, self.epoch_size)
        found = np.empty_like(positions)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            found[here] = self._order(int(epoch))[places[here]]
        return found

    def _order(self, epoch: int) -> Ints:
        if epoch not in self._orders:
            if len(self._orders) > 1:  # a batch may straddle two epochs, never three for long
                del self._orders[min(self._orders)]
            self._orders[epoch] = self._epoch_order(epoch)
        return self._orders[epoch]

    def _epoch_order(self, epoch: int) -> Ints:
        order: Ints = permutation(self._seed, Stream.ORDER, epoch, self.epoch_size).numpy()
        if self._weights is None:
            return order
        import torch

        # The high bit keeps this draw apart from the permutation of the same epoch.
        u = float(uniform(self._seed, Stream.ORDER, torch.tensor([epoch + 2**40]))[0, 0])
        windows = systematic_resample(self._weights, self._windows, u)
        examples = (windows[:, None] * self._parts + np.arange(self._parts)).ravel()
        return np.asarray(examples[order], dtype=np.int64)


@dataclass(frozen=True)
class Shares:
    """How the samples of one optimizer step are dealt to micro-steps and processes.

    Chunk number micro * processes + rank: two processes see what one process sees in two micro-steps.
    """

    batch_size: int
    micro_steps: int = 1
    processes: int = 1
    rank: int = 0

    @property
    def per_step(self) -> int:
        """Samples per optimizer step, over all processes."""
        return self.batch_size * self.micro_steps * self.processes

    def slice_of(self, micro: int) -> slice:
        """This process's share of the step's samples in one micro-step."""
        start = (micro * self.processes + self.rank) * self.batch_size
        return slice(start, start + self.batch_size)

    def positions(self, first_step: int, last_step: int) -> Iterator[list[int]]:
        """Global sample counts of each micro-batch of this process, steps [first, last)."""
        for step in range(first_step, last_step):
            for micro in range(self.micro_steps):
                share = self.slice_of(micro)
                yield list(range(step * self.per_step + share.start, step * self.per_step + share.stop))
