"""RMS normalisation and its modulation by a condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn import rms
from sd_core.nn.precision import without_autocast

EPSILON = 1e-6
"""Added to the mean square; torch's own default is the dtype's, 8e-3 in bfloat16."""


def rms_norm(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """X / rms(x) over the last axis, times a gain shaped like it (Zhang & Sennrich 2019)."""
    return F.rms_norm(x, x.shape[-1:], None if gain is None else gain.to(x.dtype), EPSILON)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalised x (B, N, D), scaled by 1 + scale and shifted, both (B, D) (Peebles & Xie 2023, section 3.2)."""
    scale, shift = scale.to(x.dtype), shift.to(x.dtype)
    return torch.addcmul(shift[:, None], rms_norm(x), 1 + scale[:, None])


class AdaRMSNorm(nn.Module):
    """RMS norm whose gain is 1 + a linear map of the condition, without a shift (HDiT, Crowson 2024, section 4.3).

    The map starts at zero, the norm as a plain one. It is small, and what it rounds reaches every channel:
    under autocast it stays in the dtype of its weights.
    """

    def __init__(self, width: int, condition_width: int) -> None:
        super().__init__()
        self.gain = nn.Linear(condition_width, width, bias=False)
        nn.init.zeros_(self.gain.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """From x (B, ..., width), condition (B, condition_width) -> shape and dtype of x."""
        with without_autocast(x.device):
            gain = (1 + self.gain(condition.to(self.gain.weight.dtype))).to(x.dtype)
        if rms.takes(x, gain):
            return rms.scaled_rms_norm(x, gain, EPSILON)
        out: Tensor = rms_norm(x) * gain.reshape(len(gain), *(1,) * (x.ndim - 2), -1)
        return out
