"""Global self-attention with normalised queries and keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.norms import rms_norm
from sd_core.nn.precision import without_autocast
from sd_core.nn.rope import rotate


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Softmax attention of (B, N, heads, head_dim) tensors, in the dtype of `value`.

    `scale` is the factor of the products of queries and keys; without it 1 / sqrt(head_dim).
    On CPUs it is computed in float32 at least, under autocast too: without AMX, the backward pass of PyTorch's
    bfloat16 kernel takes eight times as long, and no memory is at stake.
    """
    dtype = torch.promote_types(value.dtype, torch.float32) if value.device.type == "cpu" else value.dtype
    query, key, upcast = (part.to(dtype).transpose(1, 2) for part in (query, key, value))
    with without_autocast(value.device):
        attended = F.scaled_dot_product_attention(query, key, upcast, scale=scale)
    return attended.transpose(1, 2).to(value.dtype)


class SelfAttention(nn.Module):
    """Multi-head attention with QK-norm (Dehghani 2023) and rotary positions; no biases."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.query_gain = nn.Parameter(torch.ones(head_dim))
        self.key_gain = nn.Parameter(torch.ones(head_dim))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """From x (B, N, width), tables (N, head_dim) of `sd_core.nn.rope` -> (B, N, width)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        query = rotate(rms_norm(query, self.query_gain), cos, sin)
        key = rotate(rms_norm(key, self.key_gain), cos, sin)
        out: Tensor = self.out(attend(query, key, value).flatten(2))
        return out
