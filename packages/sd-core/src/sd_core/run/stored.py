"""The files of a checkpoint that say what the weights are for: a checkpoint needs no TOML beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from sd_core.config.read import Run
from sd_core.run.assemble import Assembly, Geometry
from sd_core.run.data import Split
from sd_core.run.foreign import refuse_other_foreign, remember_foreign
from sd_core.run.origin import OriginCard
from sd_core.run.randomness import Stream, uniform
from sd_core.run.state import write_tensors
from sd_core.task import GridShape, LabelSpace, SignalInfo

RUN = "run.toml"
PLUGINS = "plugins.json"
TASK = "task.json"
REPRESENTATION = "representation.safetensors"
EXAMPLES_KEPT = 512
_SECOND_DRAW = 2**40
"""Added to an index: the first numbers of the stream choose labels of generated windows."""


@dataclass(frozen=True)
class TaskCard:
    """Geometry and labels of the data that a checkpoint was trained on."""

    geometry: Geometry
    labels: LabelSpace
    label_examples: Mapping[str, list[Any]]
    """Labels of train windows from all over the split by role: what is not asked for is drawn from them."""
    fingerprint: str
    """Of the train split."""
    unseen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Role -> declared values that no train window has; empty in checkpoints from before it was kept."""

    def to_json(self) -> str:
        """As text that `from_json` reads."""
        return json.dumps(
            {
                "signal": None if self.geometry.info is None else asdict(self.geometry.info),
                "pictures": None if self.geometry.pictures is None else list(self.geometry.pictures),
                "categories": dict(self.labels.categories),
                "numbers": dict(self.labels.numbers),
                "texts": sorted(self.labels.texts),
                "label_examples": dict(self.label_examples),
                "fingerprint": self.fingerprint,
                "unseen": dict(self.unseen),
            },
            indent=1,
        )

    @staticmethod
    def from_json(text: str) -> TaskCard:
        """Read what `to_json` wrote."""
        card = json.loads(text)
        signal = card["signal"]
        info = None if signal is None else SignalInfo(**{**signal, "channel_names": tuple(signal["channel_names"])})
        return TaskCard(
            geometry=Geometry(info, None if card["pictures"] is None else GridShape(*card["pictures"])),
            labels=LabelSpace(
                categories={role: tuple(values) for role, values in card["categories"].items()},
                numbers={role: (mean, sd) for role, (mean, sd) in card["numbers"].items()},
                texts=frozenset(card["texts"]),
            ),
            label_examples=card["label_examples"],
            fingerprint=card["fingerprint"],
            unseen={role: tuple(values) for role, values in card.get("unseen", {}).items()},
        )


def card_of(train: Split, geometry: Geometry, labels: LabelSpace) -> TaskCard:
    """The card of a training set."""
    rows = _scattered(len(train.source), min(EXAMPLES_KEPT, len(train.source)))
    examples = {role: list(values) for role, values in train.labels.rows(rows).items()}
    listed = {role: np.asarray(v).tolist() if role not in labels.texts else v for role, v in examples.items()}
    return TaskCard(geometry, labels, listed, train.source.fingerprint, _unseen(train, labels))


def _unseen(train: Split, labels: LabelSpace) -> dict[str, tuple[str, ...]]:
    every = train.labels.rows(range(len(train.source)))
    there = {role: set(every[role].tolist()) for role in labels.categories}
    lacking = {
        role: tuple(name for index, name in enumerate(names) if index not in there[role])
        for role, names in labels.categories.items()
    }
    return {role: names for role, names in lacking.items() if names}


def _scattered(rows: int, count: int) -> NDArray[np.int64]:
    """One row of each of `count` equal stretches, at random: even steps would see one of two labels that alternate."""
    within = uniform(0, Stream.LABELS, torch.arange(count) + _SECOND_DRAW)[:, 0].numpy()
    edges = np.arange(count + 1) * rows // count
    scattered: NDArray[np.int64] = edges[:-1] + (within * np.diff(edges)).astype(np.int64)
    return scattered


@dataclass(frozen=True)
class Story:
    """What stands beside the weights in the run directory and in every checkpoint."""

    run_toml: str
    plugins: Mapping[str, str]
    card: TaskCard
    origin: OriginCard | None = None
    """What the adapters stand on, in a LoRA run."""

    def write_run_files(self, folder: Path) -> None:
        """run.toml and plugins.json."""
        (folder / RUN).write_text(self.run_toml, encoding="utf-8")
        (folder / PLUGINS).write_text(json.dumps(dict(self.plugins), indent=1), encoding="utf-8")

    def write(self, folder: Path, assembly: Assembly) -> None:
        """Everything that loading needs besides the training state."""
        self.write_run_files(folder)
        (folder / TASK).write_text(self.card.to_json(), encoding="utf-8")
        if self.origin is not None:
            self.origin.write(folder)
        write_tensors(folder / REPRESENTATION, assembly.representation.state_dict())
        remember_foreign(folder, assembly)


def kept_averages(run: Run) -> list[str]:
    """Names of the averages that a training keeps, the first one to sample from."""
    training = run.config.training
    widths = [training.ema_decay] if training.ema_decay is not None else training.ema_profiles
    return [f"{width:g}" for width in widths]


def load_representation(folder: Path, assembly: Assembly) -> None:
    """Take back the statistics that the run was trained with.

    Raises:
        SdError: the codec or the text encoders are not those that the run was trained with.
    """
    refuse_other_foreign(folder, assembly)
    cast(nn.Module, assembly.representation).load_state_dict(load_file(folder / REPRESENTATION))


def read_card(folder: Path) -> TaskCard:
    """The card of a checkpoint."""
    return TaskCard.from_json((folder / TASK).read_text(encoding="utf-8"))
