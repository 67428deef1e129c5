"""The C kernel of neighborhood attention: tensors in, tensors out, tasks shared among threads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sd_core.nn.tasks import TaskKernel

TILE, GROUP = 8, 16
"""Queries that are computed together, and numbers; as in the C file."""

KERNEL = TaskKernel(
    Path(__file__).with_name("neighborhood.c"), "neighborhood attention", functions=("forward", "backward", "collect")
)
_SIZES = 29
"""Numbers of sizes_t."""
_TASKS = 8
"""How many there should be at least; part of the gradients' rounding, so threads do not change it."""
_FEWEST_ROWS = 5
"""Of a task: below, the rows of keys around its queries cost more than a second thread would give."""
_PADDING = 4
"""Tokens behind each row where gradients are summed; ROWS of the header."""


class Window(NamedTuple):
    """Tokens that a query sees."""

    tall: int
    wide: int


def takes(value: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernel can attend to these values in this dtype: whole groups of channels, on a CPU."""
    return value.device.type == "cpu" and dtype in KERNEL.dtypes and value.shape[-1] % GROUP == 0


def forward(parts: tuple[Tensor, Tensor, Tensor], window: Window, scale: float, weights: Tensor) -> Tensor:
    """Attention, shaped like the query.

    Args:
        parts: Query, key and value (B, rows, columns, heads, head_dim), laid out as `walkable` makes them.
        window: What a query sees.
        scale: Factor of the products of queries and keys.
        weights: Where the weights go that the backward pass needs, (B, heads, *per_head) of `weights_shape`;
            without elements they go nowhere.
    """
    query = parts[0]
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    sizes = _sizes(query, window, [*parts, out])
    KERNEL.run("forward", sizes, scale, [*parts, out, weights], tasks=_tasks(query), worth=1)
    return out


def backward(
    gradient: Tensor, parts: tuple[Tensor, Tensor, Tensor], weights: Tensor, window: Window, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, from that of the answer; arguments as for `forward`, all of them laid out."""
    query = parts[0]
    to_query, to_key, to_value = (torch.empty_like(query, memory_format=torch.contiguous_format) for _ in range(3))
    rows, columns, width = query.shape[1], query.shape[2], query.shape[-1]
    seen = min(rows, _band(query) + window.tall - 1)
    sums = query.new_empty(_tasks(query), 2, seen, columns + _PADDING, width)
    sizes = _sizes(query, window, [*parts, gradient, to_query, to_key, to_value])
    given, summed = [gradient, *parts, weights, to_query, sums], [sums, to_key, to_value]
    KERNEL.run("backward", sizes, scale, given, tasks=_tasks(query), worth=1)
    KERNEL.run("collect", sizes, scale, summed, tasks=query.shape[0] * query.shape[3], worth=1)
    return to_query, to_key, to_value


def weights_shape(query: Tensor, window: Window) -> tuple[int, ...]:
    """(B, heads, rows, tiles, TILE, weights of a query): those of a tile's queries reach over the same columns."""
    batch, rows, columns, heads, _ = query.shape
    across = min(columns, TILE + window.wide - 1)
    return batch, heads, rows, -(-columns // TILE), TILE, window.tall * -(-across // GROUP) * GROUP


def walkable(part: Tensor) -> Tensor:
    """The tensor, copied if channels or the tokens of an example do not follow each other in even steps."""
    _, _, columns, _, _ = part.shape
    if part.stride(-1) == 1 and part.stride(1) == columns * part.stride(2):
        return part
    return part.contiguous()


def _band(query: Tensor) -> int:
    """Rows of queries of a task."""
    batch, rows, _, heads, _ = query.shape
    wanted = -(-_TASKS // (batch * heads))
    return -(-rows // max(1, min(wanted, rows // _FEWEST_ROWS)))


def _tasks(query: Tensor) -> int:
    batch, rows, _, heads, _ = query.shape
    return int(batch * heads * -(-rows // _band(query)))


def _sizes(query: Tensor, window: Window, tensors: list[Tensor]) -> list[int]:
    """As sizes_t of the C file, which has room for the strides of more tensors than `forward` walks."""
    strides = [part.stride(axis) for part in tensors for axis in (0, 2, 3)]
    numbers = [*query.shape, *window, _band(query), *strides]
    return numbers + [0] * (_SIZES - len(numbers))
