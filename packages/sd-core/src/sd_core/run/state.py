"""Everything that a training carries from step to step, and its way to disk and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.optim import Optimizer

from sd_core.errors import SdError
from sd_core.run.ema import Averages
from sd_core.run.network import Network

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.pt"
TRAINER = "trainer.json"


@dataclass
class Progress:
    """Counters; all of them are in the checkpoint."""

    step: int = 0
    """Optimizer steps done."""
    loss_sum: float = 0.0
    """Sum of step losses since the last logged line."""
    loss_count: int = 0
    samples_per_step: int = 0
    """Batch size x accumulation x processes: what places in the stream are counted by."""
    metrics_offset: int = 0
    """Bytes of metrics.jsonl that belong to this state."""
    grad_norm: float = 0.0
    """Of the last step: the line about it may come after the checkpoint."""


@dataclass
class TrainState:
    """Weights, moments, averages, loss scale and counters."""

    network: Network
    optimizers: Sequence[Optimizer]
    averages: Averages
    scaler: Any = None
    progress: Progress = field(default_factory=Progress)

    def save(self, folder: Path) -> None:
        """Write the state's files into an existing folder."""
        write_tensors(folder / MODEL, self.network.own_state())
        for average in self.averages.all:
            write_tensors(folder / average_file(average.name), average.state())
        scaler = None if self.scaler is None else self.scaler.state_dict()
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        buffer = io.BytesIO()
        torch.save({"optimizers": optimizers, "scaler": scaler}, buffer)
        (folder / OPTIMIZER).write_bytes(buffer.getbuffer())
        (folder / TRAINER).write_text(json.dumps(asdict(self.progress)), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote; the folder has been verified."""
        stored_progress = Progress(**json.loads((folder / TRAINER).read_text(encoding="utf-8")))
        check_same_stride(stored_progress.samples_per_step, self.progress.samples_per_step)
        self.network.load_own(load_file(folder / MODEL))
        for average in self.averages.all:
            average.load(load_file(folder / average_file(average.name)))
        stored = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
        for optimizer, state in zip(self.optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        if self.scaler is not None and stored["scaler"] is not None:
            self.scaler.load_state_dict(stored["scaler"])
        self.progress = stored_progress


def check_same_stride(before: int, now: int) -> None:
    """Refuse to read the stream in other steps than it was read in.

    Raises:
        SdError: the number of samples per optimizer step differs.
    """
    if before != now:
        raise SdError(
            f"the checkpoint was trained with {before} samples per optimizer step, this run would take {now} "
            "(batch size x accumulation x processes): use as many processes as before"
        )


def average_file(name: str) -> str:
    """File of the average with this name."""
    return f"ema-{name}.safetensors"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file.

    The bytes go through Python's file: the library's own writer hides why the disk refused.
    """
    own = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    path.write_bytes(save(own))
