"""Selective scan by mamba-ssm's CUDA kernels (Gu & Dao 2023), where that package is installed.

Its function is called as published, inside operators of our own, so that `torch.compile` need not look into it.
The price is that the backward pass runs the forward kernel once more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sd_localmamba.scan.operators import INPUTS, SEVEN, library

library.define(f"mamba({INPUTS}) -> Tensor")
library.define(f"mamba_backward(Tensor dy, {INPUTS}) -> ({SEVEN})")


def _mamba(*tensors: Tensor) -> Tensor:
    """All in the shapes of `scan_tokens`."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, A, B, C, D, bias = tensors
    u, delta = (tensor.transpose(-1, -2).flatten(1, 2).contiguous() for tensor in (u, delta))
    B, C = (tensor.transpose(-1, -2).contiguous() for tensor in (B, C))
    A, D, bias = (tensor.flatten(0, 1) for tensor in (A, D, bias))
    y: Tensor = selective_scan_fn(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True)
    return y.unflatten(1, (B.shape[1], -1)).transpose(-1, -2).contiguous()


def _backward(dy: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    with torch.enable_grad():
        y = _mamba(*leaves)
    return tuple(gradient.contiguous() for gradient in torch.autograd.grad(y, leaves, dy))


def _fake(u: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(u)


def _fake_backward(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(tensor) for tensor in tensors[1:])


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001  PyTorch passes it by name
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = torch.ops.sd_localmamba.mamba_backward(dy.contiguous(), *ctx.saved_tensors)
    return gradients


library.impl("mamba", _mamba, "CompositeExplicitAutograd")
library.impl("mamba_backward", _backward, "CompositeExplicitAutograd")
torch.library.register_fake("sd_localmamba::mamba", _fake, lib=library)
torch.library.register_fake("sd_localmamba::mamba_backward", _fake_backward, lib=library)
torch.library.register_autograd("sd_localmamba::mamba", _differentiate, setup_context=_keep, lib=library)
