"""Draw examples from a network: noise, guided velocity, sampler, back to windows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sd_core.config import sections
from sd_core.diffusion.guidance import Strength, guide
from sd_core.protocols import Sampler
from sd_core.run.asked import Asked
from sd_core.run.assemble import Assembly
from sd_core.run.randomness import Stream, normal
from sd_core.task import Labels, SignalInfo, Windows

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

    @torch.no_grad()
    def windows(self, asked: Asked, info: SignalInfo, tick: Callable[[int], object] = lambda _: None) -> Windows:
        """Windows 0, 1, ... with the labels asked for; window i follows from (seed, i) and its labels only.

        Args:
            asked: Labels of every window.
            info: Geometry of the windows.
            tick: Told how many more are done.
        """
        per_batch = max(1, self.inference.batch_size // self.assembly.representation.parts)
        signals = []
        for numbers in torch.arange(asked.count).split(per_batch):
            signals.append(self._decoded(numbers, asked))
            tick(len(numbers))
        return Windows(signal=np.concatenate(signals), info=info, columns=asked.columns())

    def _decoded(self, numbers: Tensor, asked: Asked) -> NDArray[np.float32]:
        """The windows of these numbers; the examples of one window may fill several batches."""
        parts = self.assembly.representation.parts
        positions = (numbers[:, None] * parts + torch.arange(parts)).flatten()
        x = torch.cat([self._asked_for(batch, asked) for batch in positions.split(self.inference.batch_size)])
        signal: NDArray[np.float32] = self.assembly.representation.decode(x).float().cpu().numpy()
        return signal

    def _asked_for(self, positions: Tensor, asked: Asked) -> Tensor:
        parts = self.assembly.representation.parts
        labels = asked.labels(positions // parts, self.device)
        return self.examples(positions, labels, (positions % parts).to(self.device) if parts > 1 else None)

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
