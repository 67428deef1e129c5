"""Statistics of the train split: how they are gathered, and the error when they are missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from sd_core.plugin import SdError, SignalInfo, WindowSource

WINDOWS = 2048
"""Most train windows read for statistics: 4 million samples of every electrode, far more than they need."""
BATCH = 32
"""Windows in memory at a time."""


def train_batches(train: WindowSource, signal: SignalInfo) -> Iterator[Tensor]:
    """The train split in batches (b, channels, samples) of float32 microvolts, the same ones every time.

    Of a split with more than `WINDOWS` windows a seeded subset is taken, in the order of the disk.

    Raises:
        SdError: the split is empty, has another geometry than `signal`, or holds NaN or infinity.
    """
    if len(train) == 0:
        raise SdError("the train split is empty, so the representation has nothing to take its statistics from")
    if (train.info.channel_names, train.info.n_samples) != (signal.channel_names, signal.n_samples):
        raise SdError(f"the representation was made for {signal}, but the train split holds {train.info}")
    rows = np.arange(len(train))
    if len(rows) > WINDOWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, WINDOWS, replace=False))
    for start in range(0, len(rows), BATCH):
        chosen = [int(row) for row in rows[start : start + BATCH]]
        batch = torch.tensor(train.signals(chosen), dtype=torch.float32)
        sound = torch.isfinite(batch).all(dim=(1, 2))
        if not sound.all():
            row = chosen[int(sound.int().argmin())]
            raise SdError(f"window {row} of the train split holds NaN or infinity; build the dataset again without it")
        yield batch


class Fitted(nn.Module):
    """A module whose buffers are statistics: NaN until `fit` or `load_state_dict` fills them."""

    _known: bool = False

    def statistic(self, name: str, *size: int) -> None:
        """Add a float32 buffer whose shape is known before its values are."""
        self.register_buffer(name, torch.full(size, torch.nan))

    def settle(self, **values: Tensor) -> None:
        """Fill buffers, in place, so that their device stays."""
        for name, value in values.items():
            self.get_buffer(name).copy_(value)

    def require_fit(self) -> None:
        """Raise where statistics are missing.

        Looks into the buffers only until they are once found complete: on a GPU each look waits for the device.

        Raises:
            SdError: neither `fit` nor `load_state_dict` was called.
        """
        if self._known:
            return
        if any(torch.isnan(buffer).any() for buffer in self.buffers()):
            raise SdError(
                f"{type(self).__name__} has no statistics of the train split yet: call fit(train), "
                "or load the state of a checkpoint"
            )
        self._known = True
