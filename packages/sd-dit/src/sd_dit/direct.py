"""A way from the input to the output that no width narrows."""

from __future__ import annotations

from torch import Tensor, nn


class DirectPath(nn.Module):
    """Patch by patch, a linear denoiser: into components, each times a gain, and back.

    The best linear denoiser of a patch is of this form: its components are those of the data's covariance, and the
    gain of each depends on time and on how strong the component is, here in this window (Wiener's filter). The blocks
    cannot be that filter where a patch has more values than they are wide. It starts at zero, with random components.
    """

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.into = nn.Linear(values, values, bias=False)
        self.gain = nn.Linear(width, values, bias=False)
        self.back = nn.Linear(values, values, bias=False)
        nn.init.orthogonal_(self.into.weight)
        self.back.weight.data.copy_(self.into.weight.data.mT)
        nn.init.zeros_(self.gain.weight)

    def forward(self, patches: Tensor, condition: Tensor) -> Tensor:
        """From patches (B, N, values) and condition (B, width) -> (B, N, values)."""
        out: Tensor = self.back(self.into(patches) * self.gain(condition)[:, None])
        return out
