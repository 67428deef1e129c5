"""The C kernel of the selective scan, built by `sd_core.nn.building`."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from sd_core.nn.building import load_library

BLOCK = 64
"""Channels of one task. Part of the result's rounding, so it does not depend on the number of threads."""

_SOURCE = Path(__file__).with_name("kernel.c")


@functools.cache
def load_kernel(*, double: bool, chunk: int) -> ctypes.CDLL:
    """The library with `forward` and `backward`.

    Args:
        double: For float64, else for float32.
        chunk: Positions between two saved states.

    Raises:
        KernelUnavailable: no compiler, or none that understands the source.
    """
    library = load_library(_SOURCE, (f"CHUNK={chunk}", f"BLOCK={BLOCK}", *(["DOUBLE"] if double else [])))
    for function in (library.forward, library.backward):
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
        function.restype = ctypes.c_int
    return library
