"""The transformer block with adaptive norms that start as the identity."""

from __future__ import annotations

from torch import Tensor, nn

from sd_core.nn.attention import SelfAttention
from sd_core.nn.feedforward import SwiGLU, swiglu_width
from sd_core.nn.norms import modulate


class Block(nn.Module):
    """adaLN-zero (Peebles & Xie 2023, figure 3) around QK-normed attention and SwiGLU."""

    def __init__(self, heads: int, head_dim: int, mlp_ratio: float, dropout_rate: float) -> None:
        super().__init__()
        width = heads * head_dim
        self.attention = SelfAttention(heads, head_dim)
        self.feedforward = SwiGLU(width, swiglu_width(width, mlp_ratio))
        self.modulation = nn.Linear(width, 6 * width, bias=False)
        self.dropout = nn.Dropout(dropout_rate)
        nn.init.zeros_(self.modulation.weight)

    def forward(self, x: Tensor, condition: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """From x (B, N, width), condition (B, width), rotary tables (N, head_dim) -> (B, N, width)."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.modulation(condition).chunk(6, dim=-1)
        attended: Tensor = self.attention(modulate(x, shift_a, scale_a), cos, sin)
        x = x + gate_a[:, None] * self.dropout(attended)
        fed: Tensor = self.feedforward(modulate(x, shift_f, scale_f))
        out: Tensor = x + gate_f[:, None] * self.dropout(fed)
        return out
