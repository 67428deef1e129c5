"""Running averages of the weights, in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sd_core.errors import SdError
from sd_core.run.network import trainable


def power_exponent(relative_width: float) -> float:
    """The exponent gamma of the averaging profile t^gamma with this relative standard deviation.

    Solves sigma^2 = (gamma + 1) (gamma + 2)^-2 (gamma + 3)^-1 for gamma (Karras 2024, "EDM2",
    arXiv 2312.02696, equation 126): a cubic with one root above -1 for sigma < 0.28.
    """
    inverse = relative_width**-2
    roots = np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse])
    return float(roots.real.max())


class Average:
    """One average of all trainable weights; `name` is its width or decay as text."""

    def __init__(self, name: str, network: nn.Module, *, width: float | None, decay: float | None) -> None:
        self.name = name
        self._exponent = None if width is None else power_exponent(width)
        self._decay = decay
        self._names = [key for key, _ in trainable(network)]
        self.weights = [p.detach().clone().float() for _, p in trainable(network)]

    def keep(self, step: int) -> float:
        """Share of the old average that stays at this step (counted from 1).

        Power profile: (1 - 1/t)^(gamma + 1), EDM2 equation 127. Plain decay: warmed up as
        min(decay, (1 + t) / (10 + t)), so that the first weights do not linger.
        """
        if self._exponent is not None:
            return float((1 - 1 / step) ** (self._exponent + 1))
        return min(self._decay or 0.0, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, parameters: Sequence[Tensor], step: int) -> None:
        """Move towards the weights after optimizer step `step` (counted from 1)."""
        torch._foreach_lerp_(self.weights, list(parameters), 1 - self.keep(step))

    def state(self) -> dict[str, Tensor]:
        """Averaged weights by parameter name."""
        return dict(zip(self._names, self.weights, strict=True))

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            SdError: the names differ from this network's.
        """
        if set(state) != set(self._names):
            raise SdError(f"the average {self.name} of this checkpoint belongs to another network")
        for name, weight in zip(self._names, self.weights, strict=True):
            weight.copy_(state[name])


class Averages:
    """All averages of a run."""

    def __init__(self, network: nn.Module, profiles: Sequence[float], decay: float | None) -> None:
        self._parameters = [p for _, p in trainable(network)]
        widths: list[tuple[str, float | None, float | None]] = (
            [(f"{decay:g}", None, decay)] if decay is not None else [(f"{w:g}", w, None) for w in profiles]
        )
        self.all = [Average(name, network, width=w, decay=d) for name, w, d in widths]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Average in the weights after optimizer step `step` (counted from 1)."""
        for average in self.all:
            average.update(self._parameters, step)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the network computes with the first average, if there is one."""
        if not self.all:
            yield
            return
        live = [p.detach().clone() for p in self._parameters]
        _copy(self.all[0].weights, self._parameters)
        try:
            yield
        finally:
            _copy(live, self._parameters)


@torch.no_grad()
def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    for values, parameter in zip(source, target, strict=True):
        parameter.copy_(values)
