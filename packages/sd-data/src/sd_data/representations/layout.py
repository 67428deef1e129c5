"""How the electrodes of a window become network examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sd_core.plugin import GridShape


@dataclass(frozen=True)
class Stack:
    """All electrodes of a window in one example; electrode e holds channels e * planes .. e * planes + planes - 1."""

    electrodes: int
    planes: int
    parts: int = 1

    def shape(self, height: int, width: int) -> GridShape:
        """Of an example."""
        return GridShape(self.electrodes * self.planes, height, width, groups=self.electrodes)

    def select(self, signal: Tensor, part: Tensor | None) -> Tensor:
        """(B, electrodes, samples): all of them; `part` is None or zeros."""
        assert part is None or part.shape == signal.shape[:1], "a window has one part in this layout"
        return signal

    def pack(self, planes: Tensor) -> Tensor:
        """(B, electrodes, planes, H, W) -> (B, electrodes * planes, H, W)."""
        return planes.flatten(1, 2)

    def unpack(self, x: Tensor) -> Tensor:
        """The inverse of `pack`."""
        return x.reshape(len(x), self.electrodes, self.planes, *x.shape[2:])


@dataclass(frozen=True)
class Electrodes:
    """Each electrode an example of its own."""

    electrodes: int
    planes: int

    @property
    def parts(self) -> int:
        """Examples per window."""
        return self.electrodes

    def shape(self, height: int, width: int) -> GridShape:
        """Of an example."""
        return GridShape(self.planes, height, width)

    def select(self, signal: Tensor, part: Tensor | None) -> Tensor:
        """(B, electrodes, samples), or with `part` (B,) one of them per window: (B, 1, samples)."""
        if part is None:
            return signal
        return signal[torch.arange(len(signal), device=signal.device), part.to(signal.device)].unsqueeze(1)

    def pack(self, planes: Tensor) -> Tensor:
        """(B, e, planes, H, W) -> (B * e, planes, H, W)."""
        return planes.flatten(0, 1)

    def unpack(self, x: Tensor) -> Tensor:
        """(B * electrodes, planes, H, W) -> (B, electrodes, planes, H, W)."""
        return x.reshape(-1, self.electrodes, *x.shape[1:])


LAYOUTS = {"stack": Stack, "electrode": Electrodes}
