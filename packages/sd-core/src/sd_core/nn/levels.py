"""How strong the data in a noisy input is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sd_core.nn.precision import without_autocast
from sd_core.task import GridShape

_FLOOR = 1e-3


class InputLevel(nn.Module):
    """Estimates the data's power under the noise, in all, per channel and per row, and embeds it.

    RMS norms hide how strong their input is, so that a network without this draws windows of nearly
    one amplitude, while people differ by a factor of two. On the path x_t = (1 - t) x0 + t noise the
    mean square is (1 - t)^2 s^2 + t^2; what exceeds the noise's share tells s^2. Both are shrunk
    towards unit power by four standard errors of the noise's mean square, t^2 sqrt(2 / n).
    The embedding starts at zero.
    """

    def __init__(self, shape: GridShape, width: int) -> None:
        super().__init__()
        self._axes: list[tuple[int, ...]] = [(1, 2, 3)]
        self._axes += [(2, 3)] if shape.channels > 1 else []
        self._axes += [(1, 3)] if shape.height > 1 else []
        features = 1 + sum(size for size in (shape.channels, shape.height) if size > 1)
        self.project = nn.Linear(features, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Of x (B, C, H, W) at t (B,) -> (B, width), float32 even under autocast."""
        with without_autocast(x.device):
            square = x.float().square()
            levels = torch.cat([log_power(square, axes, t.float()) for axes in self._axes], dim=1)
            embedded: Tensor = self.project(levels.to(self.project.weight.dtype))
        return embedded


def log_power(square: Tensor, axes: tuple[int, ...], t: Tensor) -> Tensor:
    """Estimate log s^2 over some axes of x_t^2 (B, C, H, W); 0 where the noise hides it. (B, what is left)."""
    mean = square.mean(axes).reshape(len(square), -1)
    count = square[0].numel() / mean.shape[1]
    noise = t[:, None] ** 2
    doubt = 4 * noise * math.sqrt(2 / count) + _FLOOR
    power = (mean - noise + doubt) / ((1 - t[:, None]) ** 2 + doubt)
    return power.clamp(min=_FLOOR, max=1 / _FLOOR).log()
