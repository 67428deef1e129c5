"""A small trainable text encoder that reads bytes and words: no vocabulary, no download, any language."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.diffusion.words import Words, spans
from sd_core.nn.feedforward import SwiGLU, swiglu_width
from sd_core.nn.norms import rms_norm

BEGIN = 256
"""The sign before the first byte, so that no text is without a state."""

LOUDEST = 16.0
"""Variance of a text's words together, at most: that of as many words that tell something."""


class Reading(NamedTuple):
    """What a text encoder makes of B texts."""

    states: Tensor
    """(B, L, width)"""
    there: Tensor
    """(B, L) bool: the states that are text, not padding."""
    whole: Tensor | None = None
    """(B, width) each text's words together, where the encoder has such a thing; each as large as a class."""


class ByteText(nn.Module):
    """A transformer over UTF-8 bytes with learned positions; pre-norm, QK-norm, SwiGLU.

    Each byte also knows the word that it stands in (`sd_core.diffusion.words`), and the words' sum is read out beside
    the states. Bytes tell the order, and what no word holds; words are what a network can act on from its first steps.

    Args:
        width: Of the states.
        layers: Number of blocks.
        limit: Bytes that it reads; what follows is not seen.
        rows: Of the table of words.
    """

    unit = "bytes"
    remedy = "raise conditioning.max_bytes to {longest}, shorten them"

    def __init__(self, width: int, layers: int, limit: int, rows: int) -> None:
        super().__init__()
        self.limit = limit
        self.bytes = nn.Embedding(BEGIN + 1, width)
        self.places = nn.Embedding(limit + 1, width)
        self.words = Words(rows, width)
        self._counted = False
        self.blocks = nn.ModuleList(TextBlock(width) for _ in range(layers))

    def length(self, text: str) -> int:
        """Bytes of a text."""
        return len(text.encode())

    def prepare(self, texts: Collection[str]) -> None:
        """Count the words of a training; what is met later, and what a trained encoder meets, changes nothing."""
        if self.training and not self._counted:
            self.words.count([self._read(text) for text in texts])
        self._counted = True

    def unheard(self, texts: Collection[str], known: Collection[str]) -> list[str]:
        """Words of texts, as far as they are read, that no training caption has; `known` are some of those."""
        words = dict.fromkeys(word for text in texts for word, _, _ in spans(self._read(text)))
        return self.words.unheard(words, known)

    def forward(self, texts: Sequence[str]) -> Reading:
        """B texts; L is the longest of them in bytes, plus one."""
        coded = [text.encode()[: self.limit] for text in texts]
        longest = 1 + max(map(len, coded))
        device = self.bytes.weight.device
        codes = torch.tensor([[BEGIN, *row, *[BEGIN] * (longest - 1 - len(row))] for row in coded], device=device)
        lengths = torch.tensor([1 + len(row) for row in coded], device=device)
        there = torch.arange(longest, device=device) < lengths[:, None]
        of_bytes, whole = self._words([self._read(text) for text in texts], longest)
        states = self.bytes(codes) + self.places.weight[:longest] + of_bytes
        for block in self.blocks:
            states = block(states, there)
        return Reading(rms_norm(states), there, whole)

    def _read(self, text: str) -> str:
        """What is read of a text."""
        return text.encode()[: self.limit].decode(errors="ignore")

    def _words(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        """The word at every byte, "" between words (B, longest, width); the words together (B, width)."""
        found = [spans(text) for text in texts]
        words = list(dict.fromkeys(["", *(word for some in found for word, _, _ in some)]))
        number = {word: place for place, word in enumerate(words)}
        at = torch.zeros(len(texts), longest, dtype=torch.int64)
        times = torch.zeros(len(texts), len(words))
        for row, some in enumerate(found):
            for word, start, end in some:
                at[row, 1 + start : 1 + end] = number[word]  # the sign of the beginning stands before
                times[row, number[word]] += 1
        vectors, variance = self.words(words)
        times = times.to(vectors)
        together = (times**2 @ variance).clamp(min=LOUDEST)
        whole = times @ vectors * (LOUDEST / together).sqrt()[:, None]
        return F.embedding(at.to(vectors.device), vectors), whole


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
