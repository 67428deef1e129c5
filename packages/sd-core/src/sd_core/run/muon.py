"""Muon on a CPU: torch's optimizer with its orthogonalisation in float32.

torch.optim.Muon runs the Newton-Schulz iteration in bfloat16, fixed. GPUs are made for that; a CPU
without bfloat16 instructions emulates it some 80 times slower than float32, so that the iteration
takes longer than the whole rest of a step (docs/decisions/0001-muon-on-cpu.md has the numbers).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration (Jordan 2024, "Muon"), chosen for a steep slope at zero."""
STEPS = 5


def orthogonalise(update: Tensor) -> Tensor:
    """An approximation of U V^T where update = U S V^T, (rows, columns) float32.

    Each step maps every singular value s to a s + b s^3 + c s^5; five of them bring all values that
    are not negligible into about [0.7, 1.2] (Jordan 2024).
    """
    a, b, c = COEFFICIENTS
    wide = update if update.shape[0] <= update.shape[1] else update.T
    x = wide / wide.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    found: Tensor = x if wide is update else x.T
    return found


class CpuMuon(torch.optim.Muon):
    """Nesterov momentum, orthogonalised; steps scaled to AdamW's usual size (Moonlight, arXiv 2502.16982).

    State and options are those of `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, so that
    checkpoints move between CPU and GPU.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        assert closure is None, "this optimizer takes no closure"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalise(gradient.lerp(buffer, group["momentum"]))
        # a matrix of orthonormal rows has entries of rms 1 / sqrt(longer side); AdamW's steps have about 0.2
        rate = group["lr"] * 0.2 * math.sqrt(max(parameter.shape))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-rate)
