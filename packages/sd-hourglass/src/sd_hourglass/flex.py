"""Neighborhood attention by PyTorch's `flex_attention`: one fused kernel on CUDA.

Tokens are put in the order of two-dimensional tiles, so that a block of consecutive tokens is a patch
of the grid, and a block of queries needs only the few blocks of keys that its windows touch. On a CPU it
is neither fused nor differentiable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from sd_core.nn.precision import without_autocast

_BLOCK = 128
"""Tokens of a block of the mask; the kernels' own blocks divide it."""
_COMPILED_FORMS = 64
"""How many combinations of grid, batch and mode one process may compile; PyTorch's own limit is 8, and
beyond it the attention would silently build the dense matrix of scores."""


class FlexNeighborhood(nn.Module):
    """Windows of kernel x kernel tokens, shifted inward at the borders.

    Its tables are buffers outside the state dict; `reset_parameters` fills them after a network was
    built on the meta device. With N tokens, in tile order: which token stands where, and back; row and
    column of each; the first row and column of its window; the blocks that windows touch.
    """

    order: Tensor
    place: Tensor
    row: Tensor
    column: Tensor
    top: Tensor
    left: Tensor
    key_counts: Tensor
    key_blocks: Tensor
    query_counts: Tensor
    query_blocks: Tensor

    def __init__(self, rows: int, columns: int, kernel: int) -> None:
        super().__init__()
        self.grid = (rows, columns)
        self.window = (min(kernel, rows), min(kernel, columns))
        for name, table in self._tables().items():
            self.register_buffer(name, table, persistent=False)

    def _tables(self) -> dict[str, Tensor]:
        rows, columns = self.grid
        order = tile_order(rows, columns)
        row, column = order // columns, order % columns
        top, left = (
            (position - size // 2).clamp(0, count - size)
            for position, size, count in zip((row, column), self.window, self.grid, strict=True)
        )
        touch = _touches(row, top, self.window[0]) & _touches(column, left, self.window[1])
        tables = {"order": order, "place": order.argsort(), "row": row, "column": column, "top": top, "left": left}
        return tables | {
            "key_counts": touch.sum(1).int()[None, None],
            "key_blocks": touch.int().argsort(dim=1, descending=True, stable=True).int()[None, None],
            "query_counts": touch.sum(0).int()[None, None],
            "query_blocks": touch.T.int().argsort(dim=1, descending=True, stable=True).int()[None, None],
        }

    def reset_parameters(self) -> None:
        """Fill the tables, on whatever device they are."""
        with torch.no_grad():
            for name, table in self._tables().items():
                getattr(self, name).copy_(table)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Of (B, rows, columns, heads, head_dim) each, the same shape, in the dtype of `value`."""
        query, key, tokens = (
            part.to(value.dtype).flatten(1, 2).index_select(1, self.order).transpose(1, 2)
            for part in (query, key, value)
        )
        with without_autocast(value.device):
            out = _attend(query, key, tokens, self._block_mask(), scale)
        return out.transpose(1, 2).index_select(1, self.place).reshape(value.shape)

    def _block_mask(self) -> BlockMask:
        # Not kept: it would not move with the module, nor survive a deep copy.
        return BlockMask(
            seq_lengths=(len(self.order), len(self.order)),
            kv_num_blocks=self.key_counts,
            kv_indices=self.key_blocks,
            full_kv_num_blocks=None,
            full_kv_indices=None,
            q_num_blocks=self.query_counts,
            q_indices=self.query_blocks,
            full_q_num_blocks=None,
            full_q_indices=None,
            BLOCK_SIZE=(_BLOCK, _BLOCK),
            mask_mod=self._sees(),
        )

    def _sees(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        row, column, top, left = self.row, self.column, self.top, self.left
        high, wide = self.window

        def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            down, right = row[key] - top[query], column[key] - left[query]
            return (down >= 0) & (down < high) & (right >= 0) & (right < wide)

        return sees


def tile_order(rows: int, columns: int) -> Tensor:
    """Tokens of a grid tile by tile, (rows * columns,): a block's worth of them lies close together."""
    high = rows if rows <= 16 else 8
    wide = max(1, _BLOCK // high)
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    tile = row // high * -(-columns // wide) + column // wide
    return (tile * high * wide + row % high * wide + column % wide).flatten().argsort()


def _touches(position: Tensor, first: Tensor, size: int) -> Tensor:
    """Whether the windows of a block of queries may reach a block of keys along one axis, (blocks, blocks)."""
    count = len(position)
    blocks = torch.arange(-(-count // _BLOCK) * _BLOCK).clamp(max=count - 1).view(-1, _BLOCK)
    key, window = position[blocks], first[blocks]
    below = key.amax(1) >= window.amin(1)[:, None]
    return below & (key.amin(1) < window.amax(1)[:, None] + size)


def _attend(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask, scale: float) -> Tensor:
    if torch.compiler.is_compiling() or value.device.type != "cuda":
        return flex_attention(query, key, value, block_mask=block_mask, scale=scale)
    with torch._dynamo.config.patch(recompile_limit=_COMPILED_FORMS):
        return _compiled()(query, key, value, block_mask=block_mask, scale=scale)


@functools.cache
def _compiled() -> Callable[..., Tensor]:
    return cast("Callable[..., Tensor]", torch.compile(flex_attention))
