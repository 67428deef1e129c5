"""A network and a representation small enough to train in a test, and a registry that offers them.

For testing the other parts: a stranger's conditioner, objective or tracker meets a whole run
without any other package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sd_core.components import Component
from sd_core.discovery import PluginRecord
from sd_core.options import NoOptions, Options
from sd_core.registry import Registry, discover
from sd_core.task import GridShape, SignalInfo, Task, WindowSource
from sd_core.testing.windows import write_miniature


class ToyOptions(Options):
    """Options of the toy network."""

    width: int = 8
    """Channels of its hidden layer."""
    dropout_rate: float = 0.0
    """Dropout after the hidden layer."""


class ToyDenoiser(nn.Module):
    """Two convolutions and a place for time and condition; knows vectors, no tokens."""

    prediction_hint = "vector_field"

    def __init__(self, options: ToyOptions, task: Task) -> None:
        super().__init__()
        channels, width = task.shape.channels, options.width
        self.inner = nn.Conv2d(channels, width, 3, padding=1)
        self.mix = nn.Linear(width, width, bias=False)
        self.outer = nn.Conv2d(width, channels, 3, padding=1)
        self.time = nn.Linear(1, width)
        self.condition = nn.Linear(task.condition.vector, width) if task.condition.vector else None
        self.dropout = nn.Dropout(options.dropout_rate)

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:  # noqa: ARG002 - all are called alike
        """Predict: x (B, C, H, W), t (B,) -> (B, C, H, W)."""
        shift = self.time(t[:, None])
        if self.condition is not None:
            shift = shift + self.condition(vector)
        hidden = torch.tanh(self.inner(x) + shift[:, :, None, None])
        hidden = self.mix(hidden.movedim(1, -1)).movedim(-1, 1)
        out: Tensor = self.outer(self.dropout(hidden))
        return out

    def param_roles(self) -> dict[str, str]:
        """One matrix, for Muon."""
        roles = {name: "vector" if p.ndim < 2 else "embedding" for name, p in self.named_parameters()}
        return {**roles, "mix.weight": "matrix"}

    def block_modules(self) -> list[nn.Module]:
        """One block, for checkpointing."""
        return [self.mix]


class ToyRepresentation(nn.Module):
    """Divides by the standard deviation of the train split."""

    scale: Tensor
    parts = 1
    exact = True

    def __init__(self, options: NoOptions, signal: SignalInfo) -> None:  # noqa: ARG002 - all are built alike
        super().__init__()
        self.shape = GridShape(1, signal.n_channels, signal.n_samples)
        self.register_buffer("scale", torch.tensor(float("nan")))

    def fit(self, train: WindowSource) -> None:
        """Take the standard deviation of all windows."""
        self.scale = torch.tensor(float(train.signals(range(len(train))).std()))

    def encode(self, signal: Tensor, part: Tensor | None = None) -> Tensor:  # noqa: ARG002 - it has one part
        """(B, channels, samples) -> (B, 1, channels, samples)."""
        return signal[:, None] / self.scale

    def decode(self, x: Tensor) -> Tensor:
        """The inverse of encode."""
        return x[:, 0] * self.scale

    def picture(self, x: Tensor) -> Tensor:
        """Grey: bright is positive."""
        return (x.expand(-1, 3, -1, -1) / 8 + 0.5).clamp(0, 1)


TOY_SIGNAL = SignalInfo(channel_names=("Fz", "Cz", "Pz", "Oz"), n_samples=32, sfreq=125.0, reference="average")
"""Geometry of the toy windows."""

_TOYS: Mapping[str, tuple[Component, ...]] = {
    "architectures": (
        Component(
            name="toy",
            summary="two convolutions",
            factory="sd_core.testing.toys:ToyDenoiser",
            options="sd_core.testing.toys:ToyOptions",
            supports=frozenset({"vector"}),
        ),
    ),
    "representations": (
        Component(name="toy", summary="scaled signal", factory="sd_core.testing.toys:ToyRepresentation"),
    ),
}


def toy_registry(*more: PluginRecord) -> Registry:
    """Core's own components and the toys; other installed plugins are left out."""
    core = next(record for record in discover().plugins if record.name == "sd-core")
    return Registry((core, PluginRecord(name="toys", distribution="toys", version="0", components=_TOYS), *more))


def write_toy_windows(folder: Path) -> Path:
    """A miniature window dataset with few samples a window; returns the folder."""
    return write_miniature(folder, TOY_SIGNAL, held_out=6)


def toy_config(data: Path, /, **tables: Mapping[str, object]) -> str:
    """TOML of a four-step run on the toys; keyword arguments add to or replace keys of a table."""
    base: dict[str, dict[str, object]] = {
        "data": {"representation": "toy"},
        "dataset": {"name": str(data), "batch_size": 4},
        "model": {"name": "toy"},
        "training": {"max_train_steps": 4, "log_every_steps": 2, "checkpoint_interval": 2, "ema_profiles": [0.1]},
        "logging": {"tensorboard": False},
        "inference": {"denoising_steps": 2},
    }
    for table, values in tables.items():
        base.setdefault(table, {}).update(values)
    return "".join(_toml_table(name, values) for name, values in base.items())


def _toml_table(name: str, values: Mapping[str, object]) -> str:
    from sd_core.config.write import to_toml

    return to_toml({name: dict(values)}) + "\n"
