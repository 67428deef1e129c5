"""Latents of a split as they lie on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class LatentTable:
    """Latents of all examples of a split, memory-mapped: example number -> (C, H, W) float32."""

    path: Path

    def __post_init__(self) -> None:
        self._values: NDArray[np.float32] = np.load(self.path, mmap_mode="r")

    def rows(self, examples: NDArray[np.int64]) -> NDArray[np.float32]:
        """The latents of these examples (B,), a fresh array (B, C, H, W)."""
        return np.ascontiguousarray(self._values[examples])

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}  # a memory map would be pickled as all its content

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
