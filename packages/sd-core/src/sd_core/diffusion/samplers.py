"""Integrators of a velocity on our own grid: Euler and Heun.

Grid: t = 1 - i / n for i = 0..n, moved by the time shift; state and arithmetic in float32.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from sd_core.options import SamplerOptions

if TYPE_CHECKING:
    from sd_core.protocols import Velocity


def times(steps: int, shift: float = 1.0) -> list[float]:
    """The n + 1 times from 1 (noise) to 0 (data): s t / (1 + (s - 1) t) (SD3, equation 23)."""
    return [shift * t / (1 + (shift - 1) * t) for t in (1 - i / steps for i in range(steps + 1))]


class Euler:
    """First order, one evaluation per step."""

    def __init__(self, options: SamplerOptions) -> None:
        self._times = times(options.denoising_steps, options.shift)

    def __call__(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """Noise (B, C, H, W) -> data (B, C, H, W), float32."""
        x = noise.float()
        for t, t_next in pairwise(self._times):
            x = x + (t_next - t) * velocity(x, t, t_next).float()
        return x


class Heun:
    """Second order: the trapezoid of the velocities at both ends of a step.

    The last step is Euler's: at t = 0 there is no noise left to remove, and the velocity of a network
    that predicts x0 is not defined there. So n steps cost 2 n - 1 evaluations (EDM, 2206.00364,
    algorithm 1), and the error still falls with the square of the step.
    """

    def __init__(self, options: SamplerOptions) -> None:
        self._times = times(options.denoising_steps, options.shift)

    def __call__(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """Noise (B, C, H, W) -> data (B, C, H, W), float32."""
        x = noise.float()
        for t, t_next in pairwise(self._times):
            step = t_next - t
            here = velocity(x, t, t_next).float()
            landed = x + step * here
            x = landed if t_next == 0 else x + step / 2 * (here + velocity(landed, t_next, t_next).float())
        return x
