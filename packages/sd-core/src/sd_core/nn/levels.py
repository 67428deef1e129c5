"""How strong the data in a noisy input is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sd_core.nn.precision import without_autocast
from sd_core.task import GridShape

_FLOOR = 1e-3
_SERIES = 512
"""From this many columns on the width is taken for time, and its octaves are told apart."""


class InputLevel(nn.Module):
    """Estimates the data's power under the noise, in all, per channel and per row, and embeds it.

    RMS norms hide how strong their input is, so that a network without this draws windows of nearly
    one amplitude, while people differ by a factor of two. On the path x_t = (1 - t) x0 + t noise the
    mean square is (1 - t)^2 s^2 + t^2; what exceeds the noise's share tells s^2. Both are shrunk
    towards unit power by four standard errors of the noise's mean square, t^2 sqrt(2 / n).
    A series is told apart by octaves of its rows' spectrum too: how much slow, alpha or fast activity
    a window has is nearly independent, and a band shows above the noise long before the total does.
    The embedding starts at zero.
    """

    bands: Tensor

    def __init__(self, shape: GridShape, width: int) -> None:
        super().__init__()
        self._axes: list[tuple[int, ...]] = [(1, 2, 3)]
        self._axes += [(2, 3)] if shape.channels > 1 else []
        self._axes += [(1, 3)] if shape.height > 1 else []
        features = 1 + sum(size for size in (shape.channels, shape.height) if size > 1)
        self._samples = shape.width
        self.register_buffer("bands", octaves(shape.width), persistent=False)
        features += shape.channels * shape.height * len(self.bands)
        self.project = nn.Linear(features, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def reset_parameters(self) -> None:
        """Fill the bands, on whatever device they are."""
        self.bands.copy_(octaves(self._samples))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Of x (B, C, H, W) at t (B,) -> (B, width), float32 even under autocast."""
        with without_autocast(x.device):
            x, t = x.float(), t.float()
            square = x.square()
            levels = [log_power(square, axes, t) for axes in self._axes]
            if len(self.bands):
                levels.append(self._log_band_power(x, t))
            embedded: Tensor = self.project(torch.cat(levels, dim=1).to(self.project.weight.dtype))
        return embedded

    def _log_band_power(self, x: Tensor, t: Tensor) -> Tensor:
        """Estimate log s^2 per channel, row and octave, (B, C * H * bands)."""
        spectrum = torch.view_as_real(torch.fft.rfft(x, norm="ortho")).square().sum(-1)
        share = self.bands / self.bands.sum(1, keepdim=True)
        mean = (spectrum @ share.T).flatten(1)
        count = 2 * self.bands.sum(1).repeat(x.shape[1] * x.shape[2])
        return log_excess(mean, count, t)


def octaves(samples: int) -> Tensor:
    """Which of the frequencies 0 .. samples / 2 of a series belong to which octave, (bands, samples / 2 + 1).

    From the top down to a last band of 16 to 31 bins; a short row is no series and has none.
    """
    bins, top, bands = torch.arange(samples // 2 + 1), samples // 2, []
    while samples >= _SERIES and top:
        bottom = top // 2 if top >= 32 else 0
        bands.append((bins > bottom) & (bins <= top))
        top = bottom
    return torch.stack(bands).float() if bands else torch.zeros(0, len(bins))


def log_power(square: Tensor, axes: tuple[int, ...], t: Tensor) -> Tensor:
    """Estimate log s^2 over some axes of x_t^2 (B, C, H, W); 0 where the noise hides it. (B, what is left)."""
    mean = square.mean(axes).reshape(len(square), -1)
    return log_excess(mean, square[0].numel() / mean.shape[1], t)


def log_excess(mean: Tensor, count: Tensor | float, t: Tensor) -> Tensor:
    """Log of what a mean square of `count` values has beyond the noise's share, shrunk to 0 where that is doubtful."""
    noise = t[:, None] ** 2
    doubt = 4 * noise * (2 / count) ** 0.5 + _FLOOR
    power = (mean - noise + doubt) / ((1 - t[:, None]) ** 2 + doubt)
    return power.clamp(min=_FLOOR, max=1 / _FLOOR).log()
