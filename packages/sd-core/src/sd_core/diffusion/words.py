"""Words as vectors without a vocabulary: each is the sum of hashed rows, its own and those of its pieces.

After fastText (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information"). A word that was never
seen shares most pieces with the word that it misspells, and every script has pieces. Rows weigh by what they tell:
what all captions share says nothing, and would drown the word in which two of them differ.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Collection, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIECES = (2, 3, 4)
"""Lengths of pieces in characters, the signs around a word included: "<pd>" begins with "<p"."""
_WORD = re.compile(r"\w+")


class Words(nn.Module):
    """A vector for every word, large from the start, as the rows of a table of classes are.

    A network acts on such vectors at once: it need not wait until attention over bytes has told texts apart.

    A row that stands in a share p of the training captions weighs as its presence tells, -log2 p bits, at most one:
    a word of all captions weighs nothing, one of half of them or fewer as much as a class. A row that none of them
    has weighs nothing, since nothing was learned of it. Until `count` was called all rows weigh nothing.

    Args:
        rows: Of the table that words and pieces are hashed to.
        width: Of a vector.
    """

    weights: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, width)
        self.register_buffer("weights", torch.zeros(rows))  # travels in the checkpoint: words keep their meaning

    def count(self, texts: Collection[str]) -> None:
        """Weigh the rows by the different captions of a training."""
        seen = torch.zeros(len(self.weights), dtype=torch.float64)
        for text in texts:
            rows = {row for word, _, _ in spans(text) for row in hashed(word, len(seen))}
            seen[sorted(rows)] += 1
        bits = -(seen / max(1, len(texts))).log2()
        self.weights.copy_(torch.where(seen > 0, bits.clamp(max=1), 0.0).sqrt())

    def forward(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """N words, at least one -> their vectors (N, width), and the variance of each (N,), 0 to 1."""
        keys = [hashed(word, len(self.weights)) for word in words]
        flat = torch.tensor([key for some in keys for key in some], device=self.weights.device)
        starts = torch.tensor([0, *(len(some) for some in keys[:-1])]).cumsum(0).to(flat.device)
        share = torch.tensor([1 / len(some) for some in keys for _ in some], device=flat.device)
        variance = share * self.weights[flat] ** 2
        vectors = F.embedding_bag(
            flat, self.table.weight, starts, mode="sum", per_sample_weights=variance.sqrt().to(self.table.weight.dtype)
        )
        each = torch.arange(len(flat), device=flat.device)
        return vectors, F.embedding_bag(each, variance[:, None], starts, mode="sum")[
            :, 0
        ]  # index_add may differ per call

    def unheard(self, words: Collection[str], captions: Collection[str]) -> list[str]:
        """Those of the words that no training caption has: their own rows weigh nothing, and not for being everywhere.

        Args:
            words: To look up.
            captions: Some of the training, so many that what stands in all captions stands in these.
        """
        heard = {folded(word) for text in captions for word, _, _ in spans(text)}
        weights: list[float] = self.weights.tolist()
        return [word for word in words if folded(word) not in heard and not weights[hashed(word, len(weights))[0]]]


def folded(word: str) -> str:
    """One spelling for all cases and forms of the same letters."""
    return unicodedata.normalize("NFKC", word).casefold()


@lru_cache(maxsize=65536)
def hashed(word: str, rows: int) -> tuple[int, ...]:
    """Rows of a word and of its different pieces, in an order and by a hash that are the same in every process."""
    marked = f"<{folded(word)}>"
    pieces = (marked[start : start + size] for size in PIECES for start in range(len(marked) - size + 1))
    return tuple(zlib.crc32(piece.encode()) % rows for piece in dict.fromkeys([marked, *pieces]))


def spans(text: str) -> list[tuple[str, int, int]]:
    """Every word of a text, with the bytes of its UTF-8 form that it fills: from, to."""
    found, byte, character = [], 0, 0
    for match in _WORD.finditer(text):
        byte += len(text[character : match.start()].encode())
        end = byte + len(match[0].encode())
        found.append((match[0], byte, end))
        byte, character = end, match.end()
    return found
