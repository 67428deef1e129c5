"""Selective scan by mamba-ssm's CUDA kernels (Gu & Dao 2023), where that package is installed."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sd_core.plugin import SdError
from sd_localmamba.scan import choice

_MOST_STATES = 256
"""That the kernels were compiled for."""

_log = logging.getLogger(__name__)


def takes_mamba(backend: str, device: str, dtype: torch.dtype, states: int) -> bool:
    """Whether mamba-ssm's kernels do the scan.

    "auto" leaves them out where they are not installed or do not import, for float64 and for more states than
    they take, where deterministic algorithms are asked for, since they add up gradients in any order, and inside
    `torch.compile`, which would have to stop at them.

    Raises:
        SdError: the backend is unknown, or mamba-ssm is asked for by name and cannot be had.
    """
    choice.check(backend, device)
    if backend == "mamba_ssm":
        if dtype == torch.float64:
            raise SdError("scan backend 'mamba_ssm' does not work in float64; choose 'auto'")
        if states > _MOST_STATES:
            raise SdError(f"scan backend 'mamba_ssm' takes d_state up to {_MOST_STATES}, not {states}; choose 'auto'")
        if not choice.MAMBA_IS_INSTALLED:
            raise SdError(
                "scan backend 'mamba_ssm' is not installed: pip install 'sd-localmamba[mamba]', or choose 'auto'"
            )
        if _published() is None:
            raise SdError("scan backend 'mamba_ssm' does not import here, as said in the log; choose 'auto'")
        return True
    if backend != "auto" or device != "cuda" or not choice.MAMBA_IS_INSTALLED or torch.compiler.is_compiling():
        return False
    fits = dtype == torch.float32 and states <= _MOST_STATES and not torch.are_deterministic_algorithms_enabled()
    return fits and _published() is not None


def scan(tensors: Sequence[Tensor]) -> Tensor:
    """The published function, called in the shapes of `scan_tokens`; it brings its own backward pass."""
    function = _published()
    assert function is not None, "asked without takes_mamba"
    u, delta, A, B, C, D, bias = tensors
    u, delta = (tensor.transpose(-1, -2).flatten(1, 2).contiguous() for tensor in (u, delta))
    B, C = (tensor.transpose(-1, -2).contiguous() for tensor in (B, C))
    A, D, bias = (tensor.flatten(0, 1) for tensor in (A, D, bias))
    y: Tensor = function(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
    tokens: Tensor = y.unflatten(1, (B.shape[1], -1)).transpose(-1, -2)
    return tokens


@functools.cache
def _published() -> Callable[..., Tensor] | None:
    """mamba-ssm's function, or None where it does not import; said once in the log either way."""
    try:
        module = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    except ImportError as error:
        _log.warning("selective scan: mamba-ssm is installed but does not import, doing without it: %s", error)
        return None
    _log.info("selective scan on cuda: mamba_ssm")
    function: Callable[..., Tensor] = module.selective_scan_fn
    return function
