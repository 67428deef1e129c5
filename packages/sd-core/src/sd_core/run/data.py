"""From the dataset on disk to batches: which rows, their labels, their place in the stream."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import active_children
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sd_core.config import sections
from sd_core.run.interrupt import STOP_SIGNALS
from sd_core.run.latent_table import LatentTable
from sd_core.run.stream import SampleStream, Shares
from sd_core.task import Labels
from sd_core.windows.labels import LabelTable
from sd_core.windows.reading import PictureSet, WindowSet


@dataclass(frozen=True)
class Batch:
    """Examples of one micro-step on one process."""

    position: Tensor
    """(B,) int64 global sample counts: what noise and dropout follow from."""
    row: Tensor
    """(B,) int64 rows of the split."""
    part: Tensor
    """(B,) int64 electrode, 0 where a window is one example."""
    data: Tensor
    """(B, channels, samples) float32 microvolts, or (B, C, H, W) uint8 pictures; latents where `encoded`."""
    labels: Labels
    encoded: bool = False
    """Whether `data` is what the network learns already: latents (B, C, H, W) that were kept."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; copies overlap when the batch is pinned."""
        moved = {
            name: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for name, v in self.labels.items()
        }
        position, row, part, data = (
            field.to(device, non_blocking=True) for field in (self.position, self.row, self.part, self.data)
        )
        return Batch(position, row, part, data, moved, self.encoded)

    def pin_memory(self) -> Batch:
        """Called by the loader for devices that copy from pinned memory."""
        return Batch(
            self.position.pin_memory(),
            self.row.pin_memory(),
            self.part.pin_memory(),
            self.data.pin_memory(),
            {name: v.pin_memory() if isinstance(v, Tensor) else v for name, v in self.labels.items()},
            self.encoded,
        )


@dataclass(frozen=True)
class Split:
    """A split with its labels, and how many network examples a window makes."""

    source: WindowSet | PictureSet
    labels: LabelTable
    parts: int = 1
    latents: LatentTable | None = None
    """Latents of all examples, where they are kept; batches hold them instead of windows."""

    def batch(self, positions: Sequence[int], examples: Sequence[int]) -> Batch:
        """The examples (window * parts + part) with the places they hold in the stream."""
        number = np.asarray(examples, dtype=np.int64)
        rows, parts = np.divmod(number, self.parts)
        return Batch(
            position=torch.as_tensor(np.asarray(positions, dtype=np.int64)),
            row=torch.from_numpy(rows),
            part=torch.from_numpy(parts),
            data=torch.from_numpy(self.fetch(rows.tolist()) if self.latents is None else self.latents.rows(number)),
            labels=tensor_labels(self.labels.rows(rows)),
            encoded=self.latents is not None,
        )

    def fetch(self, rows: list[int]) -> np.ndarray[Any, Any]:
        """The windows or pictures at these rows."""
        if isinstance(self.source, PictureSet):
            return self.source.pictures(rows)
        return self.source.signals(rows)


def tensor_labels(labels: Mapping[str, Any]) -> Labels:
    """Number arrays become tensors; texts stay lists."""
    return {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in labels.items()}


class _Positions(Dataset[Batch]):
    def __init__(self, split: Split, stream: SampleStream) -> None:
        self._split, self._stream = split, stream

    def __getitems__(self, positions: list[int]) -> Batch:
        examples = self._stream.examples(np.asarray(positions, dtype=np.int64))
        return self._split.batch(positions, examples.tolist())


class _PositionSampler:
    def __init__(self, shares: Shares, first_step: int, last_step: int) -> None:
        self._shares, self._steps = shares, (first_step, last_step)

    def __iter__(self) -> Iterator[list[int]]:
        return self._shares.positions(*self._steps)


def _leave_signals(_worker: int) -> None:
    """A signal to the whole job stops it politely: the main process decides, workers go on serving."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _as_fetched(batch: Any) -> Any:
    return batch


def training_batches(
    split: Split, stream: SampleStream, shares: Shares, steps: tuple[int, int], *, workers: int, pin: bool
) -> Iterator[Batch]:
    """Micro-batches of this process for optimizer steps [first, last), in order.

    Nothing of the loader's state is ever saved: a batch follows from its place alone.
    """
    loader: DataLoader[Batch] = DataLoader(
        _Positions(split, stream),
        batch_sampler=_PositionSampler(shares, *steps),
        num_workers=workers,
        collate_fn=_as_fetched,
        worker_init_fn=_leave_signals,
        pin_memory=pin,
        persistent_workers=False,
    )
    others = set(active_children())
    batches = iter(loader)
    for worker in set(active_children()) - others:
        # Where one worker was killed, another may wait for it for ever. Python ends those that are left by SIGTERM, to
        # which they do not listen, and waits for them: a failed training would never give its machine back.
        atexit.register(worker.kill)
    return batches


def label_columns(dataset: sections.Dataset) -> dict[str, str]:
    """Role -> column name, as `[dataset]` says."""
    return {
        "class": dataset.class_column,
        "gender": dataset.gender_column,
        "health": dataset.health_column,
        "age": dataset.age_column,
        "caption": dataset.caption_column,
    }
