"""The recurrence of the selective scan as it is written down: what every implementation is held against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def scan_by_definition(  # noqa: PLR0917  the order of the literature
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
) -> Tensor:
    """One position after the other, in the precision of the inputs; shapes as for `selective.scan_tokens`.

    Differentiable by autograd, and slow: the time of its backward pass grows with the square of L.
    """
    step = F.softplus(delta + bias[:, None])
    decay = torch.exp(step[..., None] * A[:, None])
    drive = (step * u)[..., None] * B[..., None, :]
    state = torch.zeros_like(drive[:, :, 0])
    outputs = []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + drive[:, :, t]
        outputs.append((state * C[:, :, t, None]).sum(-1))
    return torch.stack(outputs, 2) + u * D[:, None]
