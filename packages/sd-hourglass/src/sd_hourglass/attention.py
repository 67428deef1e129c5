"""Cosine-similarity attention on a token grid, whatever part of it a token sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sd_core.nn.attention import attend
from sd_core.nn.rope import Tables, axial_tables, box_positions, head_frequencies
from sd_core.nn.ushape import Level
from sd_hourglass.compiled import turning
from sd_hourglass.cosine import turned_units, units


class HeadRope(nn.Module):
    """Rotary tables of a level: every head its own frequencies, on half of its channels (HDiT, Crowson 2024).

    The tables are buffers outside the state dict; `reset_parameters` computes them again after a
    network was built on the meta device and given memory.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, level: Level, heads: int, head_dim: int) -> None:
        super().__init__()
        self.level = level
        self.heads = heads
        self.head_dim = head_dim
        cos, sin = self._tables()
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def _tables(self) -> Tables:
        rows, columns = box_positions(self.level.rows, self.level.columns, self.level.step)
        frequencies = head_frequencies(self.heads, self.head_dim // 8)
        cos, sin = axial_tables(rows, columns, frequencies, self.head_dim)
        grid = (len(rows), len(columns), 1)
        return cos.unflatten(0, grid), sin.unflatten(0, grid)

    def reset_parameters(self) -> None:
        """Fill the tables, on whatever device they are."""
        with torch.no_grad():
            for table, values in zip((self.cos, self.sin), self._tables(), strict=True):
                table.copy_(values)


class GlobalAttention(nn.Module):
    """Every token sees all of its level, and the tokens of the condition."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Of query (B, rows, columns, heads, head_dim), key and value (B, N, heads, head_dim) -> shape of query."""
        attended = attend(query.flatten(1, 2), key, value, scale)
        return attended.reshape(query.shape)


class CosineAttention(nn.Module):
    """Attention by the cosine between queries and keys, times a learned scale per head (HDiT, Crowson 2024).

    Args:
        level: Where it stands.
        head_dim: Channels per head.
        core: What a token sees: a module called as core(query, key, value, scale).
        context_width: Of condition tokens that are seen too; only `GlobalAttention` does, 0 for none.
        dropout_rate: On what the heads gathered.
    """

    def __init__(
        self, level: Level, head_dim: int, core: nn.Module, context_width: int = 0, dropout_rate: float = 0.0
    ) -> None:
        super().__init__()
        width, self.heads = level.width, level.width // head_dim
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.context = nn.Linear(context_width, 2 * width, bias=False) if context_width else None
        self.scale = nn.Parameter(torch.full((self.heads,), 10.0))
        self.rope = HeadRope(level, self.heads, head_dim)
        self.core = core
        self.dropout = nn.Dropout(dropout_rate)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """From x (B, rows, columns, width) and context (B, N, context_width) -> (B, rows, columns, width)."""
        query, key, value = self._parts(self.qkv(x).unflatten(-1, (3, self.heads, -1)))
        if isinstance(self.core, GlobalAttention):
            key, value = self._with_context(key.flatten(1, 2), value.flatten(1, 2), context)
        attended: Tensor = self.core(query, key, value, 1.0)
        out: Tensor = self.out(self.dropout(attended.flatten(-2)))
        return out

    def _parts(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys by their directions, and values, from (B, rows, columns, 3, heads, head_dim)."""
        if turning.takes(qkv, self.scale):
            return turning.turned(qkv, self.scale, self.rope.cos, self.rope.sin)
        both, value = qkv.split((2, 1), dim=-3)
        factor = torch.stack([self.scale, torch.ones_like(self.scale)])
        query, key = turned_units(both, factor, self.rope.cos, self.rope.sin).unbind(-3)
        return query, key, value.squeeze(-3)

    def _with_context(self, key: Tensor, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Keys and values (B, N, heads, head_dim), followed by those of the condition, which have no position."""
        if self.context is None or context is None:
            return key, value
        more_keys, more_values = self.context(context).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        return torch.cat([key, units(more_keys).to(key.dtype)], dim=1), torch.cat([value, more_values], dim=1)
