"""Multistep integrators: diffusers' DPM-Solver++ and UniPC on flow sigmas.

Both turn a velocity into x0_hat = x_t - t v and reuse it from step to step: second order at one
evaluation per step. They are evaluated at their own continuous `sigmas`, which are our t; their
`timesteps` are the same numbers times 1000, cut to integers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from sd_core.options import SamplerOptions

if TYPE_CHECKING:
    from sd_core.protocols import Velocity

    Scheduler: TypeAlias = DPMSolverMultistepScheduler | UniPCMultistepScheduler


class DPMSolverPlusPlus:
    """DPM-Solver++(2M) (Lu 2022, 2211.01095): n evaluations; its first t is .999 (before the shift)."""

    def __init__(self, options: SamplerOptions) -> None:
        self._options = options

    def __call__(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """Noise (B, C, H, W) -> data (B, C, H, W), float32."""
        scheduler = DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=self._options.shift
        )
        return _integrate(scheduler, self._options.denoising_steps, velocity, noise)


class UniPC:
    """UniPC of order 2 (Zhao 2023, 2302.04867): n evaluations; its first t is 1 - 1e-6."""

    def __init__(self, options: SamplerOptions) -> None:
        self._options = options

    def __call__(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """Noise (B, C, H, W) -> data (B, C, H, W), float32."""
        scheduler = UniPCMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=self._options.shift
        )
        return _integrate(scheduler, self._options.denoising_steps, velocity, noise)


def _integrate(scheduler: Scheduler, steps: int, velocity: Velocity, noise: Tensor) -> Tensor:
    scheduler.set_timesteps(steps)
    # With a begin index the scheduler counts its steps; it would otherwise look the (truncated,
    # perhaps repeated) timestep up.
    scheduler.set_begin_index(0)
    x = noise.float()
    for timestep, (t, t_next) in zip(scheduler.timesteps, pairwise(scheduler.sigmas.tolist()), strict=True):
        x = scheduler.step(velocity(x, t, t_next).float(), timestep, x, return_dict=False)[0]
    return x
