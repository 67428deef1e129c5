"""RMS norm with a gain per example on a CPU, by a C kernel: each way one pass instead of four."""

from __future__ import annotations

import ctypes
import functools
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sd_core.nn.building import KernelUnavailable, load_library, run_tasks

_SOURCE = Path(__file__).with_name("rms.c")
_GROUP = 16
_TOKENS = 1024
"""Of a task; part of the gradients' rounding, so threads do not change it."""
_WORTH_A_THREAD = 1 << 18
"""Numbers."""

_log = logging.getLogger(__name__)


def takes(x: Tensor, gain: Tensor) -> bool:
    """Whether `scaled_rms_norm` is for these: plain tensors of one precision on a CPU, not to be traced.

    False too where the kernel cannot be built; the log says so once.
    """
    if torch.compiler.is_compiling() or type(x) is not Tensor or x.device.type != "cpu":
        return False
    precise = x.dtype == gain.dtype and x.dtype in (torch.float32, torch.float64)
    shaped = gain.shape == (len(x), x.shape[-1]) and x.shape[-1] % _GROUP == 0 and x.numel() > 0
    return precise and shaped and _kernel(x.dtype) is not None


def scaled_rms_norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """X / rms(x) * gain; it cannot be differentiated twice.

    Args:
        x: (B, ..., D).
        gain: (B, D).
        epsilon: Added to the mean square.
    """
    out: Tensor = _ScaledRMSNorm.apply(x, gain, epsilon)  # type: ignore[no-untyped-call]
    return out


class _ScaledRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        x, gain = x.contiguous(), gain.contiguous()
        y, inverse = torch.empty_like(x), x.new_empty(x.shape[:-1])
        _run("forward", x, epsilon, (x, gain, y, inverse))
        ctx.save_for_backward(x, gain, inverse)
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, inverse = ctx.saved_tensors
        to_x, parts = torch.empty_like(x), x.new_empty(len(x), _pieces(x), x.shape[-1])
        _run("backward", x, 0.0, (gradient.contiguous(), x, gain, inverse, to_x, parts))
        return to_x, parts.sum(1), None


def _pieces(x: Tensor) -> int:
    return -(-(x.numel() // (len(x) * x.shape[-1])) // _TOKENS)


def _run(function: str, x: Tensor, epsilon: float, tensors: tuple[Tensor, ...]) -> None:
    library = _kernel(x.dtype)
    assert library is not None, "see takes"
    call = getattr(library, function)
    sizes = (ctypes.c_int64 * 4)(len(x), x.numel() // (len(x) * x.shape[-1]), x.shape[-1], _TOKENS)
    pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
    tasks = len(x) * _pieces(x)
    worth = -(-_WORTH_A_THREAD * tasks // x.numel())
    run_tasks(lambda task: call(task, sizes, epsilon, pointers), tasks, worth_a_thread=worth)


@functools.cache
def _kernel(dtype: torch.dtype) -> ctypes.CDLL | None:
    try:
        library = load_library(_SOURCE, ("DOUBLE",) if dtype == torch.float64 else ())
    except KernelUnavailable as reason:
        _log.info("RMS norm by PyTorch's operations: %s", reason)
        return None
    for function in (library.forward, library.backward):
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_double, ctypes.c_void_p]
        function.restype = ctypes.c_int
    return library
