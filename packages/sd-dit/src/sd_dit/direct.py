"""A way from the input to the output that no width narrows."""

from __future__ import annotations

from torch import Tensor, nn

from sd_dit.gains import Gains


class DirectPath(nn.Module):
    """Patch by patch, a linear denoiser: into components, each times a gain, and back.

    The best linear denoiser of a patch is of this form: its components are those of the data's covariance, and the
    gain of each depends on time and on how strong the component is, here in this window (Wiener's filter). The blocks
    cannot be that filter where a patch has more values than they are wide. It starts at zero, with random components.
    """

    def __init__(self, values: int, width: int, *, local: bool) -> None:
        super().__init__()
        self.into = nn.Linear(values, values, bias=False)
        self.gains = Gains(values, width, local=local)
        self.back = nn.Linear(values, values, bias=False)
        nn.init.orthogonal_(self.into.weight)
        self.back.weight.data.copy_(self.into.weight.data.mT)

    def forward(self, patches: Tensor, condition: Tensor, found: Tensor) -> Tensor:
        """From patches (B, N, values), condition (B, width), what the blocks found (B, N, width) -> (B, N, values)."""
        out: Tensor = self.back(self.into(patches) * self.gains(condition, found))
        return out
