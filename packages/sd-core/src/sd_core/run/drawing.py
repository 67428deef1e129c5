"""Draw examples from a network: noise, guided velocity, sampler, back to windows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sd_core.config import sections
from sd_core.diffusion.guidance import Strength, guide
from sd_core.protocols import Sampler
from sd_core.run.assemble import Assembly
from sd_core.run.randomness import Stream, normal
from sd_core.task import Labels

if TYPE_CHECKING:
    from sd_core.protocols import Velocity


@dataclass(frozen=True)
class Drawer:
    """Draws with fixed settings; example i follows from (seed, i) only."""

    assembly: Assembly
    sampler: Sampler
    inference: sections.Inference
    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    earlier: Assembly | None = None
    """What autoguidance leads away from; without it that kind does nothing."""

    @torch.no_grad()
    def examples(self, positions: Tensor, labels: Labels, part: Tensor | None) -> Tensor:
        """x0 (B, *representation.shape) for these example numbers (B,) int64."""
        shape = tuple(self.assembly.task.shape)
        noise = normal(self.inference.seed, Stream.SAMPLE, positions.to(self.device), shape)
        settings = self.inference
        guidance = guide(settings.guidance)
        references = {"null": self._null, "earlier": self._earlier}
        reference = references[guidance.reference](labels, part, len(positions))
        strength = Strength(settings.cfg_scale, settings.guidance_interval, settings.guidance_exponent)
        velocity = guidance(self._velocity(self.assembly, labels, part), reference, strength)
        return self.assembly.codec.decode(self.sampler(velocity, noise))

    def _null(self, labels: Labels, part: Tensor | None, count: int) -> Velocity | None:
        """The model under the null condition; None when it takes no condition."""
        if not self.assembly.network.conditioner.emits.needs:
            return None
        everything = torch.ones(count, dtype=torch.bool, device=self.device)
        return self._velocity(self.assembly, labels, part, everything)

    def _earlier(self, labels: Labels, part: Tensor | None, _count: int) -> Velocity | None:
        """The earlier model under the same condition."""
        return None if self.earlier is None else self._velocity(self.earlier, labels, part)

    def _velocity(
        self, assembly: Assembly, labels: Labels, part: Tensor | None, dropped: Tensor | None = None
    ) -> Velocity:
        network, objective = assembly.network, assembly.objective

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            with self.autocast():
                predicted: Tensor = network(x, t, labels, part=part, dropped=dropped)
            return predicted.float()

        def velocity(x: Tensor, t: float, _t_next: float) -> Tensor:
            return objective.velocity(denoise, x, torch.full((len(x),), t, device=x.device))

        return velocity
