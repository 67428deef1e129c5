"""Selective scan of state space models (Gu & Dao 2023, section 3.2): one definition, several implementations.

For every channel c with N states, along the positions t of a sequence:

    step = softplus(delta + bias)
    h[t] = exp(step[t] A) h[t-1] + step[t] u[t] B[t]        (h starts at zero)
    y[t] = sum over states of C[t] h[t]  +  D u[t]
"""

from __future__ import annotations

import torch
from torch import Tensor

from sd_core.plugin import SdError
from sd_localmamba.scan import choice, mamba, operators  # the last registers the operator called below


def require_backend(backend: str, states: int) -> None:
    """Refuse what this machine cannot run, before anything is computed; "auto" always finds something.

    Args:
        backend: As for `scan_tokens`.
        states: N, per channel.

    Raises:
        SdError: It names what is missing.
    """
    if backend == "auto":
        return
    device = choice.DEVICES.get(backend, "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SdError(f"[model.extras] scan_backend: '{backend}' needs CUDA, which is not here; choose 'auto'")
    if not mamba.takes_mamba(backend, device, torch.float32, states):
        choice.choose(backend, device, torch.float32, operators.chunk_length(torch.device(device)))


def scan_tokens(  # noqa: PLR0917  the order of the literature
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor, *, backend: str = "auto"
) -> Tensor:
    """Selective scan of tokens with channels last, the layout that every implementation works in.

    It runs in float32, or in float64 where `u` is float64, whatever autocast says. It cannot be
    differentiated twice.

    Args:
        u: Tokens in scanning order, (batch, K directions, L, channels).
        delta: Step before bias and softplus, shaped like `u`.
        A: Decay of each state, negative, (K, channels, N).
        B: What enters each state, (batch, K, L, N).
        C: How each state is read, shaped like `B`.
        D: Weight of `u` in the output, (K, channels).
        bias: Added to `delta`, (K, channels).
        backend: "auto" or the name of an implementation: "mamba_ssm", "triton", "compiled", "torch".

    Returns:
        y, shaped like `u` and in its dtype.
    """
    precision = torch.promote_types(u.dtype, torch.float32)
    tensors = [tensor.to(precision).contiguous() for tensor in (u, delta, A, B, C, D, bias)]
    if mamba.takes_mamba(backend, u.device.type, precision, A.shape[-1]):
        return mamba.scan(tensors).to(u.dtype)
    y: Tensor = torch.ops.sd_localmamba.scan(*tensors, backend)[0]
    return y.to(u.dtype)


def selective_scan(  # noqa: PLR0917  the order of the literature
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, *, backend: str = "auto"
) -> Tensor:
    """The same with channels before positions, as in the literature; transposes once each way.

    Args:
        u: (batch, K * channels, L).
        delta: Shaped like `u`.
        A: (K * channels, N).
        B: (batch, K, N, L).
        C: Shaped like `B`.
        D: (K * channels,).
        delta_bias: (K * channels,).
        backend: As for `scan_tokens`.

    Returns:
        y, shaped like `u` and in its dtype.
    """
    directions = B.shape[1]
    u, delta = (tensor.unflatten(1, (directions, -1)).transpose(-1, -2) for tensor in (u, delta))
    A, D, bias = (tensor.unflatten(0, (directions, -1)) for tensor in (A, D, delta_bias))
    B, C = (tensor.transpose(-1, -2) for tensor in (B, C))
    y = scan_tokens(u, delta, A, B, C, D, bias, backend=backend)
    return y.transpose(-1, -2).flatten(1, 2)
