"""Gains of the ways past the blocks: told by the condition, and patch by patch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.levels import log_excess
from sd_core.nn.patches import Patches
from sd_core.nn.precision import without_autocast

SPANS = (1, 5, 17)
"""Patches in a row whose power is taken together: noise hides that of one before that of many."""


class Gains(nn.Module):
    """A gain for each component of a patch, told by the condition and, where `local`, by what the blocks found there.

    It starts at `start`, everywhere.
    """

    def __init__(self, values: int, width: int, *, local: bool, start: float = 0.0) -> None:
        super().__init__()
        self.start = start
        self.everywhere = nn.Linear(width, values, bias=False)
        self.here = nn.Linear(width, values, bias=False) if local else None
        for layer in (self.everywhere, self.here):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(self, condition: Tensor, found: Tensor) -> Tensor:
        """From condition (B, width) and what the blocks found (B, N, width) -> (B, 1 or N, values)."""
        gains: Tensor = self.start + self.everywhere(condition)[:, None]
        return gains if self.here is None else gains + self.here(found)


class PatchLevel(nn.Module):
    """Estimates the data's power under the noise in each patch, and embeds it.

    As `sd_core.nn.levels.InputLevel` does for a window: RMS norms hide it from the blocks, while EEG waxes and wanes
    within seconds, and a filter that is the same for all of a window draws Gaussian ones. It starts at zero.
    """

    def __init__(self, patches: Patches, width: int) -> None:
        super().__init__()
        self._grid = (patches.rows, patches.columns)
        self._rows = patches.shape.channels * patches.height
        self._spans = tuple(span for span in SPANS if span // 2 < patches.columns)
        self.project = nn.Linear(self._rows + len(self._spans), width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, split: Tensor, t: Tensor) -> Tensor:
        """Of patches (B, N, values) of x_t at t (B,) -> (B, N, width), float32 even under autocast."""
        with without_autocast(split.device):
            rows = split.float().square().unflatten(2, (self._rows, -1)).mean(-1)
            levels = [_level(rows, split.shape[2] // self._rows, t)]
            strips = rows.mean(-1).unflatten(1, self._grid)
            for span in self._spans:
                around = F.avg_pool1d(F.pad(strips, (span // 2, span // 2), mode="reflect"), span, stride=1)
                levels.append(_level(around.flatten(1)[..., None], span * split.shape[2], t))
            embedded: Tensor = self.project(torch.cat(levels, dim=2).to(self.project.weight.dtype))
        return embedded


def _level(mean: Tensor, count: int, t: Tensor) -> Tensor:
    """Log s^2 from mean squares (B, N, features) of so many values each."""
    return log_excess(mean.flatten(1), count, t.float()).view(mean.shape)
