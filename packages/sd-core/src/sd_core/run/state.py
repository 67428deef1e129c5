"""Everything that a training carries from step to step, and its way to disk and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

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
    metrics_offset: int = 0
    """Bytes of metrics.jsonl that belong to this state."""


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
        save_file(contiguous(self.network.state_dict()), folder / MODEL)
        for average in self.averages.all:
            save_file(contiguous(average.state()), folder / average_file(average.name))
        scaler = None if self.scaler is None else self.scaler.state_dict()
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        torch.save({"optimizers": optimizers, "scaler": scaler}, folder / OPTIMIZER)
        (folder / TRAINER).write_text(json.dumps(asdict(self.progress)), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote; the folder has been verified."""
        self.network.load_state_dict(load_file(folder / MODEL))
        for average in self.averages.all:
            average.load(load_file(folder / average_file(average.name)))
        stored = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
        for optimizer, state in zip(self.optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        if self.scaler is not None and stored["scaler"] is not None:
            self.scaler.load_state_dict(stored["scaler"])
        self.progress = Progress(**json.loads((folder / TRAINER).read_text(encoding="utf-8")))


def average_file(name: str) -> str:
    """File of the average with this name."""
    return f"ema-{name}.safetensors"


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that safetensors accepts: contiguous, on the CPU, sharing no memory."""
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
