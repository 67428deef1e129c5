from collections.abc import Callable

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from sd_core.diffusion.multistep import DPMSolverPlusPlus, UniPC
from sd_core.diffusion.samplers import Euler, Heun, times
from sd_core.options import SamplerOptions
from sd_core.protocols import Sampler
from sd_core.testing.sampler import GaussianFlow, SamplerContract

NOISE = torch.linspace(-2.5, 2.5, 24).reshape(4, 1, 2, 3)


class TestEuler(SamplerContract):
    def sampler(self, steps: int, shift: float = 1.0) -> Sampler:
        return Euler(SamplerOptions(denoising_steps=steps, shift=shift))


class TestHeun(SamplerContract):
    def sampler(self, steps: int, shift: float = 1.0) -> Sampler:
        return Heun(SamplerOptions(denoising_steps=steps, shift=shift))


class TestDPMSolverPlusPlus(SamplerContract):
    def sampler(self, steps: int, shift: float = 1.0) -> Sampler:
        return DPMSolverPlusPlus(SamplerOptions(denoising_steps=steps, shift=shift))


class TestUniPC(SamplerContract):
    def sampler(self, steps: int, shift: float = 1.0) -> Sampler:
        return UniPC(SamplerOptions(denoising_steps=steps, shift=shift))


def test_the_grid_is_straight_until_shifted() -> None:
    assert times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert times(2, shift=3.0) == [1.0, 0.75, 0.0]


def _ratio(sampler: Callable[[SamplerOptions], Sampler], steps: int) -> float:
    """Error with `steps` steps over the error with twice as many."""
    errors = [
        GaussianFlow().error(sampler(SamplerOptions(denoising_steps=count)), NOISE) for count in (steps, 2 * steps)
    ]
    return errors[0] / errors[1]


def test_euler_is_of_first_order() -> None:
    assert _ratio(Euler, 64) == pytest.approx(2, rel=0.1)


def test_heun_is_of_second_order() -> None:
    assert _ratio(Heun, 64) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(("sampler", "evaluations"), [(Euler, 7), (Heun, 13), (DPMSolverPlusPlus, 7), (UniPC, 7)])
def test_evaluations_are_as_documented(sampler: Callable[[SamplerOptions], Sampler], evaluations: int) -> None:
    flow = GaussianFlow()
    sampler(SamplerOptions(denoising_steps=7))(flow, NOISE)
    assert len(flow.calls) == evaluations


@pytest.mark.parametrize("sampler", [Heun, DPMSolverPlusPlus, UniPC])
def test_second_order_beats_euler_at_equal_cost(sampler: Callable[[SamplerOptions], Sampler]) -> None:
    steps = 8 if sampler is Heun else 15
    error = GaussianFlow().error(sampler(SamplerOptions(denoising_steps=steps)), NOISE)
    assert error < GaussianFlow().error(Euler(SamplerOptions(denoising_steps=15)), NOISE) / 2


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [(DPMSolverPlusPlus, DPMSolverMultistepScheduler), (UniPC, UniPCMultistepScheduler)],
)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_multistep_samplers_are_asked_at_continuous_sigmas(
    sampler: Callable[[SamplerOptions], Sampler], scheduler: Callable[..., DPMSolverMultistepScheduler], shift: float
) -> None:
    flow = GaussianFlow()
    sampler(SamplerOptions(denoising_steps=9, shift=shift))(flow, NOISE)
    reference = scheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=shift)
    reference.set_timesteps(9)
    asked = [t for t, _ in flow.calls]
    assert asked == reference.sigmas[:-1].tolist()
    assert asked != (reference.timesteps / 1000).tolist()


@pytest.mark.parametrize("sampler", [DPMSolverPlusPlus, UniPC])
def test_more_steps_than_integer_timesteps_still_work(sampler: Callable[[SamplerOptions], Sampler]) -> None:
    assert GaussianFlow().error(sampler(SamplerOptions(denoising_steps=1100, shift=8.0)), NOISE[:1]) < 0.01
