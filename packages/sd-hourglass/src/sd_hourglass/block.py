"""The block of every level, and what its attention sees there."""

from __future__ import annotations

from torch import Tensor, nn

from sd_core.nn.feedforward import GEGLU
from sd_core.nn.norms import AdaRMSNorm
from sd_core.nn.ushape import Level
from sd_core.plugin import SdError
from sd_hourglass.attention import CosineAttention, GlobalAttention
from sd_hourglass.neighborhood import NeighborhoodAttention
from sd_hourglass.options import HourglassOptions
from sd_hourglass.shifted import ShiftedWindowAttention

DEFAULT_KERNEL = 7
DEFAULT_WINDOW = 8


class Block(nn.Module):
    """Attention and a gated feed-forward layer behind conditioned norms (HDiT, Crowson 2024, figure 4).

    It starts as the identity.

    Args:
        level: Where it stands.
        options: Of the network.
        context_width: Of the condition's tokens, 0 for none; only global levels see them.

    Raises:
        SdError: `kernel` or `window` is larger than the level.
    """

    def __init__(self, level: Level, options: HourglassOptions, context_width: int = 0) -> None:
        super().__init__()
        core = _core(level, options)
        context_width = context_width if isinstance(core, GlobalAttention) else 0
        dropout_rate = options.dropout_rate
        self.attention_norm = AdaRMSNorm(level.width, options.mapping_width)
        self.attention = CosineAttention(level, options.head_dim, core, context_width, dropout_rate)
        self.feedforward_norm = AdaRMSNorm(level.width, options.mapping_width)
        self.feedforward = GEGLU(level.width, options.mlp_width(level.index), dropout_rate)

    def forward(self, x: Tensor, condition: Tensor, context: Tensor | None = None) -> Tensor:
        """From x (B, rows, columns, width), condition (B, mapping_width), context (B, N, D) -> shape of x."""
        x = x + self.attention(self.attention_norm(x, condition), context)
        out: Tensor = x + self.feedforward(self.feedforward_norm(x, condition))
        return out


def _core(level: Level, options: HourglassOptions) -> nn.Module:
    attention = options.attention_of(level.index)
    if attention == "global":
        return GlobalAttention()
    if attention == "neighborhood":
        kernel = _side("kernel", options.kernel, DEFAULT_KERNEL, level)
        return NeighborhoodAttention(level.rows, level.columns, kernel)
    window = _side("window", options.window, DEFAULT_WINDOW, level)
    return ShiftedWindowAttention(level.rows, level.columns, window, shift=level.turn % 2 == 1)


def _side(name: str, wanted: int | None, default: int, level: Level) -> int:
    """Tokens on a side; larger than one axis it spans that axis, larger than both it was a mistake to ask for it."""
    longest = max(level.rows, level.columns)
    if wanted is not None and wanted > longest:
        fits = longest - 1 + longest % 2 if name == "kernel" else longest
        raise SdError(
            f"[model.extras] {name}: {wanted} is larger than the {level.rows} x {level.columns} tokens of level "
            f'{level.index} (from 0); take at most {fits}, or attention "global" on that level'
        )
    return default if wanted is None else wanted
