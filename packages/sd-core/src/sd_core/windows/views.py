"""An Arrow column of nested lists as numpy views: no copy, no Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sd_core.errors import SdError

View = NDArray[Any]
"""(rows, channels, samples), read-only, over the memory map; float32 unless the column holds something else."""


def window_views(column: pa.ChunkedArray) -> list[View]:
    """One view per chunk of a column of (channels, samples) lists.

    Takes fixed-size lists, lists, large lists and the extension types that stand on them, sliced or not.

    Raises:
        SdError: a value is missing, the windows are not of one shape, or they do not hold numbers.
    """
    views: list[View] = []
    first_row = 0
    for chunk in column.chunks:
        if len(chunk):
            views.append(_view(chunk, first_row))
            first_row += len(chunk)
    shapes = sorted({view.shape[1:] for view in views})
    if len(shapes) > 1:
        raise SdError(f"the windows are not of one shape: there are {_readable(shapes)}; build the dataset again")
    return views


def _view(chunk: Any, first_row: int) -> View:
    storage = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
    inner, channels = _unnest(storage, first_row, "channels", per_row=1)
    leaf, samples = _unnest(inner, first_row, "samples", per_row=channels)
    if leaf.null_count:
        raise SdError(
            f"the column 'signal' has missing samples in its rows from {first_row} on; build the dataset again"
        )
    if not (pa.types.is_floating(leaf.type) or pa.types.is_integer(leaf.type)):
        raise SdError(f"the column 'signal' holds {leaf.type}, not numbers")
    view: View = leaf.to_numpy(zero_copy_only=True).reshape(len(chunk), channels, samples)
    return view


def _unnest(array: Any, first_row: int, noun: str, *, per_row: int) -> tuple[Any, int]:
    """The items of equally long lists, and how many each list has."""
    if array.null_count:
        row = first_row + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]) // per_row
        raise SdError(f"row {row} of the column 'signal' is missing; build the dataset again")
    if pa.types.is_fixed_size_list(array.type):
        width = array.type.list_size
        return array.values.slice(array.offset * width, len(array) * width), width
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        raise SdError(f"the column 'signal' must hold windows of (channels, samples), but holds {array.type}")
    # `offsets` honour a slice, `values` do not.
    offsets = array.offsets.to_numpy()
    widths = np.diff(offsets)
    uneven = np.flatnonzero(widths != widths[0])
    if len(uneven):
        row = first_row + int(uneven[0]) // per_row
        raise SdError(f"row {row} of the column 'signal' has {widths[uneven[0]]} {noun}, an earlier one {widths[0]}")
    return array.values.slice(offsets[0], offsets[-1] - offsets[0]), int(widths[0])


def _readable(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(f"{channels} channels x {samples} samples" for channels, samples in shapes)
