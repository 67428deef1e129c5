"""Selective scan in plain PyTorch: any device and precision, no compiler.

Whatever can be computed for a chunk of positions at once is; the recurrence itself is one `addcmul` per
position. Cumulative sums of logarithms would spare that loop, but overflow where Delta is large. The backward
pass computes the states of a chunk a second time, from the one saved at its start.

Legend of shapes: Z batch, K directions, L positions, C channels, N states, T positions of one chunk.
Inside, positions come first, so that every step of the recurrence works on contiguous memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SOFTPLUS_IS_LINEAR = 20.0
"""Above it, PyTorch's softplus returns its argument, and so do all implementations here."""


def forward(tensors: Sequence[Tensor], chunk: int) -> tuple[Tensor, Tensor]:
    """The output y (Z, K, L, C) and the state each chunk starts from, (Z, K, ceil(L / chunk), N, C).

    Args:
        tensors: u, delta, A, B, C, D and bias, shaped as for `sd_localmamba.scan.selective.scan_tokens`.
        chunk: T, positions between two saved states.
    """
    u, delta, A, B, C, D, bias = tensors
    batch, directions, length, width = u.shape
    work = _Chunk(u, A, chunk)
    step = F.softplus(delta + bias[:, None])
    steps, drives, Bs, Cs = _positions_first(step, step * u, B, C)
    states = u.new_empty(batch, directions, -(-length // chunk), A.shape[-1], width)
    y = u.new_empty(length, batch, directions, 1, width)
    state = torch.zeros_like(states[:, :, 0])
    for index, start in enumerate(range(0, length, chunk)):
        part = slice(start, start + chunk)
        states[:, :, index] = state
        history = work.run(steps[part], drives[part], Bs[part], state)
        torch.matmul(Cs[part].unsqueeze(-2), history[1:], out=y[part])
        state = history[-1]
    return torch.addcmul(_positions_third(y.squeeze(-2)), u, D[:, None]), states


def backward(tensors: Sequence[Tensor], chunk: int) -> tuple[Tensor, ...]:
    """Gradients of u, delta, A, B, C, D and bias.

    Args:
        tensors: Gradient of y, the seven inputs of `forward`, the states it saved.
        chunk: As in `forward`.
    """
    dy, u, delta, A, B, C, D, bias, states = tensors
    work = _Chunk(u, A, chunk)
    raw = delta + bias[:, None]
    step = F.softplus(raw)
    steps, drives, Bs, Cs, dys = _positions_first(step, step * u, B, C, dy)
    d_drives, d_steps = torch.empty_like(steps), torch.empty_like(steps)
    dB, dC, dA = torch.empty_like(Bs), torch.empty_like(Cs), torch.zeros_like(states[:, :, 0])
    carry = torch.zeros_like(dA)
    starts = range(0, u.shape[2], chunk)
    for index, start in reversed(list(enumerate(starts))):
        part = slice(start, start + chunk)
        history = work.run(steps[part], drives[part], Bs[part], states[:, :, index])
        torch.matmul(history[1:], dys[part].unsqueeze(-1), out=dC[part].unsqueeze(-1))
        adjoint, carry = work.run_back(dys[part], Cs[part], carry)
        torch.matmul(Bs[part].unsqueeze(-2), adjoint, out=d_drives[part].unsqueeze(-2))
        torch.matmul(adjoint, drives[part].unsqueeze(-1), out=dB[part].unsqueeze(-1))
        dA += work.decay_gradient(steps[part], out=d_steps[part])
    d_drive = _positions_third(d_drives)
    d_step = _positions_third(d_steps).addcmul_(d_drive, u)
    d_raw = torch.where(raw > SOFTPLUS_IS_LINEAR, d_step, d_step * torch.sigmoid(raw))
    du = torch.addcmul(d_drive * step, dy, D[:, None])
    dA = dA.sum(0).transpose(-1, -2).contiguous()
    return du, d_raw, dA, _positions_third(dB), _positions_third(dC), (dy * u).sum((0, 2)), d_raw.sum((0, 2))


class _Chunk:
    """Memory for the states of one chunk and their gradients, used again for the next chunk."""

    def __init__(self, u: Tensor, A: Tensor, chunk: int) -> None:
        batch, directions, length, width = u.shape
        chunk = min(chunk, length)
        self._A = A.transpose(-1, -2).contiguous()
        self._decay = u.new_empty(chunk, batch, directions, A.shape[-1], width)
        self._drive = torch.empty_like(self._decay)
        self._history = u.new_empty(chunk + 1, *self._decay.shape[1:])
        self._decays, self._drives, self._states = (m.unbind() for m in (self._decay, self._drive, self._history))

    def run(self, step: Tensor, drive: Tensor, B: Tensor, state: Tensor) -> Tensor:
        """States h (T + 1, Z, K, N, C), the given one first: h[t+1] = exp(step[t] A) h[t] + drive[t] B[t]."""
        count = len(step)
        decay, inputs = self._decay[:count], self._drive[:count]
        torch.mul(step.unsqueeze(-2), self._A, out=decay).exp_()
        torch.mul(drive.unsqueeze(-2), B.unsqueeze(-1), out=inputs)
        self._history[0] = state
        for t in range(count):
            torch.addcmul(self._drives[t], self._decays[t], self._states[t], out=self._states[t + 1])
        return self._history[: count + 1]

    def run_back(self, dy: Tensor, C: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients g (T, Z, K, N, C) of h[1:], and that of h[0]; `carry` is what later chunks add to the last.

        Holds the states of the last call of `run` still; its inputs are overwritten.
        """
        count = len(dy)
        adjoint = self._drive[:count]
        torch.mul(dy.unsqueeze(-2), C.unsqueeze(-1), out=adjoint)
        adjoint[-1] += carry
        for t in range(count - 2, -1, -1):
            self._drives[t].addcmul_(self._decays[t + 1], self._drives[t + 1])
        return adjoint, self._decays[0] * self._drives[0]

    def decay_gradient(self, step: Tensor, *, out: Tensor) -> Tensor:
        """Gradient of A (Z, K, N, C); that of `step`, as far as it comes through the decay, goes to `out`.

        For x = step A, dL/dx = g exp(x) h. Overwrites what the last call of `run_back` returned.
        """
        count = len(step)
        gradient = self._drive[:count].mul_(self._decay[:count]).mul_(self._history[:count])
        torch.sum(torch.mul(gradient, self._A, out=self._decay[:count]), -2, out=out)
        return gradient.mul_(step.unsqueeze(-2)).sum(0)


def _positions_first(*tensors: Tensor) -> list[Tensor]:
    """From (Z, K, L, ...) to (L, Z, K, ...)."""
    return [tensor.movedim(2, 0).contiguous() for tensor in tensors]


def _positions_third(tensor: Tensor) -> Tensor:
    """From (L, Z, K, ...) to (Z, K, L, ...)."""
    return tensor.movedim(0, 2).contiguous()
