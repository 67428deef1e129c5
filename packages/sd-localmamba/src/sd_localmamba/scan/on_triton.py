"""Selective scan by the Triton kernels: memory, grids and the sums that remain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sd_localmamba.scan.triton_kernels import adjoint_kernel, forward_kernel, gradient_kernel

BLOCK = 64
"""Channels whose dB and dC one program adds up; partial sums then take L * N / 64 numbers per channel."""


def forward(tensors: Sequence[Tensor], chunk: int) -> tuple[Tensor, Tensor]:
    """The output y, and the states that chunks start from; see `sd_localmamba.scan.chunked.forward`."""
    u, _, A, *_ = tensors
    batch, directions, length, width = u.shape
    count, states_per_channel = -(-length // chunk), A.shape[-1]
    states = u.new_empty(batch, directions, count, states_per_channel, width)
    y = torch.empty_like(u)
    sizes = (directions, length, width, states_per_channel, count)
    with _device(u):
        forward_kernel[(batch * directions * width,)](*tensors, y, states, *sizes, T=chunk, PADDED=_padded(A))
    return y, states


def backward(tensors: Sequence[Tensor], chunk: int) -> tuple[Tensor, ...]:
    """Gradients of the seven inputs; see `sd_localmamba.scan.chunked.backward`."""
    dy, u, delta, A, B, C, _, bias, states = tensors
    batch, directions, length, width = u.shape
    count, states_per_channel = -(-length // chunk), A.shape[-1]
    blocks = -(-width // BLOCK)
    sizes = (directions, length, width, states_per_channel, count)
    adjoints, du, ddelta = torch.empty_like(states), torch.empty_like(u), torch.empty_like(u)
    dA = u.new_empty(batch, directions, count, width, states_per_channel)
    dB, dC = u.new_empty(blocks, *B.shape), u.new_empty(blocks, *C.shape)
    shared = {"T": chunk, "PADDED": _padded(A)}
    with _device(u):
        adjoint_kernel[(batch * directions * width,)](dy, delta, A, C, bias, adjoints, *sizes, **shared)
        gradient_kernel[(batch * directions * count, blocks)](
            *tensors, adjoints, du, ddelta, dA, dB, dC, *sizes, **shared, BLOCK=BLOCK
        )
    return du, ddelta, dA.sum((0, 2)), dB.sum(0), dC.sum(0), (dy * u).sum((0, 2)), ddelta.sum((0, 2))


def _padded(A: Tensor) -> int:
    """The number of states, rounded up to a power of two."""
    return 1 << (A.shape[-1] - 1).bit_length()


def _device(u: Tensor) -> torch.cuda.device:
    """Triton launches on the current device, which need not be the tensors'."""
    return torch.cuda.device(u.device if u.is_cuda else -1)
