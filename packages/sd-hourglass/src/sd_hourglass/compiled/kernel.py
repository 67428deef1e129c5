"""The C kernel of neighborhood attention: tensors in, tensors out, tasks shared among threads."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sd_core.nn.building import load_library, run_tasks

TILE, GROUP = 8, 16
"""Queries that are computed together, and numbers; as in the C file."""

_SOURCE = Path(__file__).with_name("neighborhood.c")
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


@functools.cache
def load_kernel(*, double: bool) -> ctypes.CDLL:
    """The library with `forward`, `backward` and `collect`.

    Args:
        double: For float64, else for float32.

    Raises:
        KernelUnavailable: no compiler, or none that understands the source.
    """
    library = load_library(_SOURCE, ("DOUBLE",) if double else ())
    for function in (library.forward, library.backward, library.collect):
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_double, ctypes.c_void_p]
        function.restype = ctypes.c_int
    return library


def takes(value: Tensor, dtype: torch.dtype) -> bool:
    """Whether the kernel can attend to these values in this dtype: whole groups of channels, on a CPU."""
    precise = dtype in (torch.float32, torch.float64)
    return value.device.type == "cpu" and precise and value.shape[-1] % GROUP == 0


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
    pointers = _pointers([*parts, out, weights])
    call = load_kernel(double=query.dtype == torch.float64).forward
    run_tasks(lambda task: call(task, sizes, scale, pointers), _tasks(query))
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
    kernel = load_kernel(double=query.dtype == torch.float64)
    given = _pointers([gradient, *parts, weights, to_query, sums])
    run_tasks(lambda task: kernel.backward(task, sizes, scale, given), _tasks(query))
    collected = _pointers([sums, to_key, to_value])
    run_tasks(lambda task: kernel.collect(task, sizes, scale, collected), query.shape[0] * query.shape[3])
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


def _sizes(query: Tensor, window: Window, tensors: list[Tensor]) -> ctypes.Array[ctypes.c_int64]:
    strides = [part.stride(axis) for part in tensors for axis in (0, 2, 3)]
    numbers = [*query.shape, *window, _band(query), *strides]
    return (ctypes.c_int64 * 29)(*numbers)


def _pointers(tensors: list[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(part.data_ptr() if part.numel() else None for part in tensors))
