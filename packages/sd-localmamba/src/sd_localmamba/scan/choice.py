"""Which implementation of the selective scan runs: the fastest one that works here, or the one asked for."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from sd_core.nn.building import KernelUnavailable
from sd_core.plugin import SdError
from sd_localmamba.scan import chunked, compiled
from sd_localmamba.scan.building import load_kernel

BACKENDS = ("auto", "mamba_ssm", "triton", "compiled", "torch")
"""What `backend` may be; "auto" takes the first that works."""

DEVICES = {"mamba_ssm": "cuda", "triton": "cuda", "compiled": "cpu"}
"""Type of device an implementation needs; "torch" runs anywhere."""

MAMBA_IS_INSTALLED = find_spec("mamba_ssm") is not None
"""Found, which does not say that it imports."""

_log = logging.getLogger(__name__)


class Implementation(NamedTuple):
    """Functions of tensors and chunk length; `sd_localmamba.scan.chunked` documents their arguments."""

    name: str
    forward: Callable[[Sequence[Tensor], int], tuple[Tensor, Tensor]]
    backward: Callable[[Sequence[Tensor], int], tuple[Tensor, ...]]


@functools.cache
def choose(backend: str, device: str, dtype: torch.dtype, chunk: int) -> Implementation:
    """The implementation for tensors on a type of device; said once in the log.

    Raises:
        SdError: the backend asked for by name does not work here.
    """
    check(backend, device)
    if backend == "auto":
        name = _fastest(device, dtype, chunk)
    elif obstacle := _obstacle(backend, dtype, chunk):
        raise SdError(f"scan backend '{backend}' does not work here: {obstacle}; choose 'auto'")
    else:
        name = backend
    _log.info("selective scan on %s: %s", device, name)
    return _implementation(name)


def check(backend: str, device: str) -> None:
    """Refuse a backend that does not exist, or not for this type of device.

    Raises:
        SdError: it names what to choose instead.
    """
    if backend not in BACKENDS:
        raise SdError(f"scan backend '{backend}' does not exist; choose one of {', '.join(BACKENDS)}")
    needed = DEVICES.get(backend, device)
    if device not in (needed, "meta"):
        raise SdError(f"scan backend '{backend}' needs tensors on {needed}, these are on {device}; choose 'auto'")


def _fastest(device: str, dtype: torch.dtype, chunk: int) -> str:
    for name in ("triton", "compiled"):
        if DEVICES[name] != device:
            continue
        obstacle = _obstacle(name, dtype, chunk)
        if not obstacle:
            return name
        _log.warning("selective scan: not by '%s' but by PyTorch's operations, which are slower: %s", name, obstacle)
    return "torch"


def _obstacle(name: str, dtype: torch.dtype, chunk: int) -> str:
    """Why an implementation cannot be used; empty where it can."""
    if name == "triton" and not find_spec("triton"):
        return "triton is not installed; it comes with PyTorch for CUDA"
    if name == "compiled":
        try:
            load_kernel(double=dtype == torch.float64, chunk=chunk)
        except KernelUnavailable as reason:
            return str(reason)
    return ""


def _implementation(name: str) -> Implementation:
    if name == "triton":
        from sd_localmamba.scan import on_triton

        return Implementation(name, on_triton.forward, on_triton.backward)
    module = compiled if name == "compiled" else chunked
    return Implementation(name, module.forward, module.backward)
