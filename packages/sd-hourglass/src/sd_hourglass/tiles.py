"""Local attention by tiles: plain PyTorch, any device, any dtype."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.precision import without_autocast
from sd_hourglass.tilings import Tiling


class TileAttention(nn.Module):
    """Softmax attention inside the tiles of a grid.

    Each tile gathers its queries and the keys within their reach, and attends densely under a mask.
    Indices and mask are buffers outside the state dict: computed in the forward pass they would break
    a compiled graph, and `reset_parameters` computes them after a network was built on the meta device.
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor
    place: Tensor

    def __init__(self, tokens: int, tiling: Callable[[], Tiling]) -> None:
        super().__init__()
        self._tokens, self._tiling = tokens, tiling
        for name, table in self._tables().items():
            self.register_buffer(name, table, persistent=False)

    def _tables(self) -> dict[str, Tensor]:
        tiling = self._tiling()
        slots = tiling.queries.flatten()
        first = slots.new_zeros(self._tokens)
        # Tokens that stand in several slots are read from the first.
        place = first.scatter_reduce(0, slots, torch.arange(len(slots)), "amin", include_self=False)
        mask = torch.zeros(tiling.sees.shape).masked_fill(~tiling.sees, -torch.inf)
        return {"queries": tiling.queries, "keys": tiling.keys, "mask": mask, "place": place}

    def reset_parameters(self) -> None:
        """Fill indices and mask, on whatever device they are."""
        with torch.no_grad():
            for name, table in self._tables().items():
                getattr(self, name).copy_(table)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Of (B, rows, columns, heads, head_dim) each, the same shape, in the dtype of `value`."""
        shape, dtype = value.shape, compute_dtype(value)
        with without_autocast(value.device):
            parts = [part.to(dtype).flatten(1, 2) for part in (query, key, value)]
            tiles = [
                part.index_select(1, slots.flatten()).unflatten(1, tuple(slots.shape)).transpose(2, 3)
                for part, slots in zip(parts, (self.queries, self.keys, self.keys), strict=True)
            ]
            dense = _batched_products if dtype == torch.bfloat16 and value.device.type == "cpu" else _fused
            out = dense(tiles[0], tiles[1], tiles[2], self.mask.to(dtype), scale)
            out = out.transpose(2, 3).flatten(1, 2).index_select(1, self.place)
        return out.reshape(shape).to(value.dtype)


def compute_dtype(value: Tensor) -> torch.dtype:
    """In what attention to `value` is computed: a processor that only emulates bfloat16 takes float32."""
    if value.dtype == torch.bfloat16 and value.device.type == "cpu" and not _BF16_PROCESSOR:
        return torch.float32
    return value.dtype


def _knows_bf16() -> bool:
    # Since torch 2.10 or so; without it, float32 is the safe guess.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


_BF16_PROCESSOR = _knows_bf16()


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Of (B, T, heads, Q or K, head_dim) and mask (T, Q, K)."""
    shape = query.shape
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    mask = mask[None, :, None].expand(shape[0], -1, 1, -1, -1).flatten(0, 1)
    return F.scaled_dot_product_attention(query, key, value, mask, scale=scale).view(shape)


def _batched_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The same, written out: without AMX the backward pass of the fused kernel is slow in bfloat16."""
    scores = (query * scale) @ key.transpose(-1, -2) + mask[:, None]
    return scores.softmax(-1) @ value
