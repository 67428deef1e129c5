"""Draw examples from a network: noise, guided velocity, sampler, back to windows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from sd_core.config import sections
from sd_core.diffusion.guidance import guide
from sd_core.protocols import Sampler
from sd_core.run.assemble import Assembly
from sd_core.run.randomness import Stream, normal
from sd_core.task import Labels


@dataclass(frozen=True)
class Drawer:
    """Draws with fixed settings; example i follows from (seed, i) only."""

    assembly: Assembly
    sampler: Sampler
    inference: sections.Inference
    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext

    @torch.no_grad()
    def examples(self, positions: Tensor, labels: Labels, part: Tensor | None) -> Tensor:
        """x0 (B, *representation.shape) for these example numbers (B,) int64."""
        shape = tuple(self.assembly.task.shape)
        noise = normal(self.inference.seed, Stream.SAMPLE, positions.to(self.device), shape)
        conditional = self._velocity(labels, part, None)
        emits = self.assembly.network.conditioner.emits
        everything = torch.ones(len(positions), dtype=torch.bool, device=self.device)
        unconditional = self._velocity(labels, part, everything) if emits.needs else None
        inference = self.inference
        velocity = guide(inference.guidance)(
            conditional, unconditional, inference.cfg_scale, inference.guidance_interval
        )
        return self.assembly.codec.decode(self.sampler(velocity, noise))

    def _velocity(
        self, labels: Labels, part: Tensor | None, dropped: Tensor | None
    ) -> Callable[[Tensor, float, float], Tensor]:
        network, objective = self.assembly.network, self.assembly.objective

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            with self.autocast():
                predicted: Tensor = network(x, t, labels, part=part, dropped=dropped)
            return predicted.float()

        def velocity(x: Tensor, t: float, _t_next: float) -> Tensor:
            return objective.velocity(denoise, x, torch.full((len(x),), t, device=x.device))

        return velocity
