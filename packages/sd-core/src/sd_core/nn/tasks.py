"""C kernels whose functions work on tensors, one task at a time."""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sd_core.nn.building import KernelUnavailable, load_library, run_tasks

_DTYPES = {torch.float32: (), torch.float64: ("DOUBLE",)}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskKernel:
    """A C file, each of whose functions is int f(int64 task, const int64 *sizes, double number, real *const *tensors).

    A function does its task of the many that a tensor divides into and returns 0, or 1 where memory was short.
    """

    source: Path
    purpose: str
    """What it computes, for the log."""
    functions: tuple[str, ...] = ("forward", "backward")
    dtypes: tuple[torch.dtype, ...] = tuple(_DTYPES)

    def load(self, dtype: torch.dtype) -> ctypes.CDLL:
        """The library for tensors of this dtype, one of `dtypes`.

        Raises:
            KernelUnavailable: no compiler, or none that understands the source.
        """
        return _load(self, dtype)

    def takes(self, dtype: torch.dtype) -> bool:
        """Whether there is a library for this dtype; the log says once why it cannot be built."""
        return dtype in self.dtypes and _is_there(self, dtype)

    def run(
        self, function: str, sizes: Sequence[int], number: float, tensors: Sequence[Tensor], *, tasks: int, worth: int
    ) -> None:
        """Call a function for every task, on as many threads as PyTorch uses.

        Args:
            function: Its name.
            sizes: Whole numbers that it is told.
            number: One that need not be whole.
            tensors: What it reads and writes, of one dtype; those without elements are told as no address.
            tasks: Their count.
            worth: How many of them outweigh the start of a thread.

        Raises:
            KernelUnavailable: as of `load`.
            MemoryError: A task could not get its memory.
        """
        call = getattr(self.load(tensors[0].dtype), function)
        told = (ctypes.c_int64 * len(sizes))(*sizes)
        pointers = (ctypes.c_void_p * len(tensors))(*(part.data_ptr() if part.numel() else None for part in tensors))
        run_tasks(lambda task: call(task, told, number, pointers), tasks, worth_a_thread=worth)


def forget_kernels() -> None:
    """Look for the compiler again; kernels are remembered for the life of a process, which tests must not."""
    for remembered in (load_library, _load, _is_there):
        remembered.cache_clear()


@functools.cache
def _load(kernel: TaskKernel, dtype: torch.dtype) -> ctypes.CDLL:
    library = load_library(kernel.source, _DTYPES[dtype])
    for name in kernel.functions:
        function = getattr(library, name)
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_double, ctypes.c_void_p]
        function.restype = ctypes.c_int
    return library


@functools.cache
def _is_there(kernel: TaskKernel, dtype: torch.dtype) -> bool:
    try:
        _load(kernel, dtype)
    except KernelUnavailable as reason:
        _log.info("%s by PyTorch's operations: %s", kernel.purpose, reason)
        return False
    return True
