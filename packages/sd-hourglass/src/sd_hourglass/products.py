"""Attention inside tiles on a CPU, by matrix products over a few tiles at a time.

PyTorch's fused kernel wants all tiles gathered, and its gradients as large once more; at 32 x 32 that
memory is a quarter of the time, and more when the allocator hands it back. Here a few tiles stay in
the processor's cache, and only the probabilities wait for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sd_core.nn.precision import without_autocast

_TILES_AT_ONCE = 32


@dataclass(frozen=True)
class TileTables:
    """Where tokens stand: queries (T, Q), keys (T, K), additive mask (T, Q, K), place of each token's answer (L,)."""

    queries: Tensor
    keys: Tensor
    mask: Tensor
    place: Tensor


def attend_by_products(query: Tensor, key: Tensor, value: Tensor, tables: TileTables, scale: float) -> Tensor:
    """Of (N, L, head_dim) each, the same shape and dtype."""
    apply: Callable[..., Tensor] = _Products.apply
    return apply(query, key, value, tables.queries, tables.keys, tables.mask, tables.place, scale)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        query, key, value, queries, keys, mask, place, scale = arguments
        count, _, width = query.shape
        tiles, slots = queries.shape
        answers = query.new_empty(count, tiles, slots, width)
        portions = list(_portions(count, tiles))
        kept = []
        for rows, some in portions:
            asked = _gather(query[rows], queries[some])
            examples = rows.stop - rows.start
            bias = mask[some] if examples == 1 else mask[some].repeat(examples, 1, 1)
            scores = torch.baddbmm(bias, asked, _gather(key[rows], keys[some]).transpose(1, 2), alpha=scale)
            kept.append(scores.softmax(-1))
            answers[rows, some] = torch.bmm(kept[-1], _gather(value[rows], keys[some])).view_as(answers[rows, some])
        out: Tensor = answers.flatten(1, 2).index_select(1, place)
        ctx.save_for_backward(query, key, value, queries, keys, place, out, *kept)
        ctx.portions, ctx.scale = portions, scale
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, queries, keys, place, out, *kept = ctx.saved_tensors
        count, _, width = query.shape
        tiles, slots = queries.shape
        # Of a token in several slots only the one that is read hands a gradient back.
        at_slots = gradient.new_zeros(count, tiles * slots, width).index_copy_(1, place, gradient)
        at_slots = at_slots.view(count, tiles, slots, width)
        shared = (gradient * out).sum(-1, keepdim=True)
        shared = gradient.new_zeros(count, tiles * slots, 1).index_copy_(1, place, shared).view(count, tiles, slots, 1)
        d_query, d_key, d_value = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
        with without_autocast(query.device):
            for (rows, some), weights in zip(ctx.portions, kept, strict=True):
                told = at_slots[rows, some].flatten(0, 1)
                _scatter(d_value[rows], keys[some], torch.bmm(weights.transpose(1, 2), told))
                # Softmax backwards: sum(weights * d_weights) is answer . gradient, summed once per query.
                d_scores = torch.bmm(told, _gather(value[rows], keys[some]).transpose(1, 2))
                d_scores.sub_(shared[rows, some].flatten(0, 1)).mul_(weights).mul_(ctx.scale)
                _scatter(d_query[rows], queries[some], torch.bmm(d_scores, _gather(key[rows], keys[some])))
                asked = _gather(query[rows], queries[some])
                _scatter(d_key[rows], keys[some], torch.bmm(d_scores.transpose(1, 2), asked))
        return d_query, d_key, d_value, None, None, None, None, None


def _portions(count: int, tiles: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of examples and of tiles that are computed together; all at once where a graph is traced."""
    at_once = count * tiles if torch.compiler.is_compiling() else _TILES_AT_ONCE
    some, rows = min(tiles, at_once), max(1, at_once // tiles)
    for row in range(0, count, rows):
        for tile in range(0, tiles, some):
            yield slice(row, min(row + rows, count)), slice(tile, min(tile + some, tiles))


def _gather(tokens: Tensor, slots: Tensor) -> Tensor:
    """Tokens (N, L, D) in slots (T, S) -> (N * T, S, D)."""
    return tokens.index_select(1, slots.flatten()).view(-1, slots.shape[1], tokens.shape[-1])


def _scatter(tokens: Tensor, slots: Tensor, gradient: Tensor) -> None:
    """Add (N * T, S, D) to the tokens (N, L, D) that stood in slots (T, S), in place."""
    tokens.index_add_(1, slots.flatten(), gradient.view(len(tokens), -1, tokens.shape[-1]))
