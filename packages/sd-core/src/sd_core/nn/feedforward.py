"""The feed-forward half of a transformer block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from sd_core.nn import portions


def swiglu_width(width: int, mlp_ratio: float, multiple: int = 64) -> int:
    """Hidden width of a SwiGLU with as many weights as a plain MLP of `mlp_ratio * width`.

    A gated layer has three matrices where a plain one has two, hence two thirds (Shazeer 2020,
    section 2); rounded to a multiple that fills matrix units.
    """
    return max(1, round(width * mlp_ratio * 2 / 3 / multiple)) * multiple


class SwiGLU(nn.Module):
    """down(up(x) * silu(gate(x))), without biases (Shazeer 2020, equation 6)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """From x (B, N, width) -> (B, N, width)."""
        up, gate = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(up * F.silu(gate))
        return out


class GEGLU(nn.Module):
    """down(dropout(up(x) * gelu(gate(x)))), without biases (Shazeer 2020, equation 6; HDiT, Crowson 2024, figure 4).

    `down` starts at zero, so that a residual branch starts as the identity.
    """

    def __init__(self, width: int, hidden: int, dropout_rate: float = 0.0) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.dropout = nn.Dropout(dropout_rate)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        """From x (..., width) -> (..., width)."""
        if self._is_plain() and portions.takes(x, self.gate_up.weight):
            return portions.geglu(x, self.gate_up.weight, self.down.weight)
        up, gate = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(self.dropout(up * F.gelu(gate)))
        return out

    def _is_plain(self) -> bool:
        """Whether its layers do nothing but multiply: neither adapted, nor quantised, nor watched, nor dropped out."""
        kinds = (self.gate_up, nn.Linear), (self.dropout, nn.Dropout), (self.down, nn.Linear)
        if not all(type(layer) is kind and not _is_watched(layer) for layer, kind in kinds):
            return False
        return not (self.training and self.dropout.p > 0)


def _is_watched(layer: nn.Module) -> bool:
    """Whether somebody waits for a call of this layer: a hook of its own or for every module, another `forward`.

    accelerate's `add_hook_to_module` replaces `forward` on the instance.
    """
    own = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return bool(own or _has_any_global_hook()) or "forward" in layer.__dict__
