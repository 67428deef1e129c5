"""Selective scan by the C kernel: tensors in, tensors out, tasks shared among threads."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from sd_core.nn.building import run_tasks
from sd_localmamba.scan.building import BLOCK, load_kernel


def forward(tensors: Sequence[Tensor], chunk: int) -> tuple[Tensor, Tensor]:
    """The output, and the states that chunks start from; see `sd_localmamba.scan.operators`.

    Args:
        tensors: u, delta, A, B, C, D, bias; all contiguous, all float32 or all float64.
        chunk: Positions between two saved states.
    """
    u, _, A, *_ = tensors
    batch, directions, length, width = u.shape
    states = u.new_empty(batch, directions, -(-length // chunk), A.shape[-1], width)
    y = torch.empty_like(u)
    _run("forward", (*tensors, y, states), u, A, chunk)
    return y, states


def backward(tensors: Sequence[Tensor], chunk: int) -> tuple[Tensor, ...]:
    """Gradients of the seven inputs from dy, the inputs and the saved states."""
    _, u, _, A, B, _, D, _, _ = tensors
    blocks = -(-u.shape[-1] // BLOCK)
    batch = u.shape[0]
    du, ddelta = torch.empty_like(u), torch.empty_like(u)
    dA, dD, dbias = u.new_empty(batch, *A.shape), u.new_empty(batch, *D.shape), u.new_empty(batch, *D.shape)
    dB, dC = u.new_empty(blocks, *B.shape), u.new_empty(blocks, *B.shape)
    _run("backward", (*tensors, du, ddelta, dA, dB, dC, dD, dbias), u, A, chunk)
    return du, ddelta, dA.sum(0), dB.sum(0), dC.sum(0), dD.sum(0), dbias.sum(0)


def _run(function: str, tensors: Sequence[Tensor], u: Tensor, A: Tensor, chunk: int) -> None:
    call = getattr(load_kernel(double=u.dtype == torch.float64, chunk=chunk), function)
    sizes = (ctypes.c_int64 * 5)(*u.shape, A.shape[-1])
    pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
    tasks = u.shape[0] * u.shape[1] * -(-u.shape[-1] // BLOCK)
    run_tasks(lambda task: call(task, sizes, pointers), tasks)
