"""Local attention by tiles: plain PyTorch, any device, any dtype."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.precision import without_autocast
from sd_hourglass.products import TileTables, attend_by_products
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
        dtype = compute_dtype(value)
        tables = TileTables(self.queries, self.keys, self.mask.to(dtype), self.place)
        attend: Callable[..., Tensor] = attend_by_products if value.device.type == "cpu" else _fused
        with without_autocast(value.device):
            # Heads as examples: (B * heads, tokens, head_dim).
            tokens = [part.to(dtype).flatten(1, 2).transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
            out = attend(tokens[0], tokens[1], tokens[2], tables, scale)
        out = out.view(len(value), -1, *out.shape[1:])
        return out.transpose(1, 2).reshape(value.shape).to(value.dtype)


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


def _fused(query: Tensor, key: Tensor, value: Tensor, tables: TileTables, scale: float) -> Tensor:
    """Of (N, L, head_dim) each, the same shape; the tiles take the place of heads."""
    query, key, value = (
        part.index_select(1, slots.flatten()).unflatten(1, tuple(slots.shape))
        for part, slots in ((query, tables.queries), (key, tables.keys), (value, tables.keys))
    )
    out = F.scaled_dot_product_attention(query, key, value, tables.mask[None], scale=scale)
    return out.flatten(1, 2).index_select(1, tables.place)
