"""A small trainable text encoder that reads bytes: no vocabulary, no download, any language."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.feedforward import SwiGLU, swiglu_width
from sd_core.nn.norms import rms_norm

BEGIN = 256
"""The sign before the first byte, so that no text is without a state."""


class ByteText(nn.Module):
    """A transformer over UTF-8 bytes with learned positions; pre-norm, QK-norm, SwiGLU.

    Args:
        width: Of the states.
        layers: Number of blocks.
        limit: Bytes that it reads; what follows is not seen.
    """

    unit = "bytes"
    remedy = "raise conditioning.max_bytes to {longest}, shorten them"

    def __init__(self, width: int, layers: int, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.bytes = nn.Embedding(BEGIN + 1, width)
        self.places = nn.Embedding(limit + 1, width)
        self.blocks = nn.ModuleList(TextBlock(width) for _ in range(layers))

    def length(self, text: str) -> int:
        """Bytes of a text."""
        return len(text.encode())

    def prepare(self, texts: Collection[str]) -> None:
        """Nothing of a trained encoder can be computed ahead."""

    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B texts -> states (B, L, width), and which of them are there (B, L) bool; L is the longest text plus one."""
        coded = [[BEGIN, *text.encode()[: self.limit]] for text in texts]
        longest = max(map(len, coded))
        device = self.bytes.weight.device
        codes = torch.tensor([row + [BEGIN] * (longest - len(row)) for row in coded], device=device)
        lengths = torch.tensor([len(row) for row in coded], device=device)
        there = torch.arange(longest, device=device) < lengths[:, None]
        states = self.bytes(codes) + self.places.weight[:longest]
        for block in self.blocks:
            states = block(states, there)
        return rms_norm(states), there


class TextBlock(nn.Module):
    """Masked self-attention and a feed-forward layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = MaskedAttention(width)
        self.feedforward = SwiGLU(width, swiglu_width(width, 4))

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """From states (B, L, width), there (B, L) -> (B, L, width)."""
        normed = rms_norm(states)
        states = states + self.attention(normed, normed, there)
        out: Tensor = states + self.feedforward(rms_norm(states))
        return out


class MaskedAttention(nn.Module):
    """Multi-head attention from queries to those keys that are there, with QK-norm (Dehghani 2023); no biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = _heads(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, states: Tensor, there: Tensor) -> Tensor:
        """From queries (B, Q, width), states (B, L, width), there (B, L) -> (B, Q, width)."""
        query = self.query(queries).unflatten(-1, (self.heads, -1))
        key, value = self.key_value(states).unflatten(-1, (2, self.heads, -1)).unbind(2)
        query, key, value = (part.transpose(1, 2) for part in (rms_norm(query), rms_norm(key), value))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None])
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


def _heads(width: int) -> int:
    """As many heads of at least 32 as divide the width."""
    return next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)
