"""Tokens of a condition as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sd_core.nn.norms import rms_norm


class TokenPooling(nn.Module):
    """Attention with learned queries: each head takes its own weighted mean of the tokens."""

    def __init__(self, tokens: int, width: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads if width % heads == 0 else 1
        self.scores = nn.Linear(tokens, self.heads, bias=False)
        self.values = nn.Linear(tokens, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (B, N, D), any N and no order -> (B, width)."""
        weights = self.scores(rms_norm(tokens)).softmax(dim=1)
        values = self.values(tokens).unflatten(-1, (self.heads, -1))
        return torch.einsum("bnh,bnhw->bhw", weights, values).flatten(1)
