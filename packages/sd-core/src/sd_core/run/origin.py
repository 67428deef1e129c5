"""What a checkpoint of a LoRA run says of the weights that it stands on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

BASE = "base.json"


@dataclass(frozen=True)
class OriginCard:
    """Which weights a LoRA run stands on."""

    source: str
    """As the config names it: a folder or a hub id."""
    revision: str | None
    folder: str | None
    """Where it was found, absolute, when it is a checkpoint of this project."""
    checkpoint: str | None
    """Name of that checkpoint, such as "checkpoint-1000"."""
    average: str | None
    """Name of the average that was taken; None for the raw weights."""
    sha256: str
    """Of the frozen tensors; see `content_hash`."""
    tensors: int
    bytes: int

    def write(self, folder: Path) -> None:
        """Write `base.json`."""
        (folder / BASE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def read_base(checkpoint: Path) -> OriginCard:
    """The card in a checkpoint of a LoRA run."""
    return OriginCard(**json.loads((checkpoint / BASE).read_text(encoding="utf-8")))
