"""Guided velocities against closed forms, and what each kind costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import pytest
import torch
from torch import Tensor

from sd_core.config.sections import GuidanceKind
from sd_core.diffusion.guidance import GUIDANCE, Strength, guide
from sd_core.diffusion.multistep import DPMSolverPlusPlus
from sd_core.diffusion.samplers import Euler, Heun, times
from sd_core.options import SamplerOptions

if TYPE_CHECKING:
    from sd_core.protocols import Sampler, Velocity


class Constant:
    """A velocity that counts its evaluations."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.count = 0

    def __call__(self, x: Tensor, t: float, t_next: float) -> Tensor:  # noqa: ARG002 - as the protocol passes
        self.count += 1
        return torch.full_like(x, self.value)


class Normal:
    """The exact velocity of data N(mean, std^2), E[noise - x0 | x_t]: affine in x and in the mean."""

    def __init__(self, mean: float, std: float = 0.5) -> None:
        self.mean, self.std = mean, std

    def __call__(self, x: Tensor, t: float, t_next: float = 0.0) -> Tensor:  # noqa: ARG002 - as the protocol passes
        return self.slope(t) * x + self.offset(t) * self.mean

    def variance(self, t: float) -> float:
        """Of x_t."""
        return (1 - t) ** 2 * self.std**2 + t**2

    def slope(self, t: float) -> float:
        return (t - (1 - t) * self.std**2) / self.variance(t)

    def offset(self, t: float) -> float:
        return -(1 - t) * self.slope(t) - 1


def noise(count: int = 20_000) -> Tensor:
    """Standard normal with exactly that mean and deviation, (count, 1, 1, 1)."""
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ((drawn - drawn.mean()) / drawn.std()).float().reshape(-1, 1, 1, 1)


def moments(velocity: Velocity, steps: int = 200, sampler: Callable[[SamplerOptions], Sampler] = Heun) -> list[float]:
    """Mean and standard deviation of what is sampled."""
    drawn = sampler(SamplerOptions(denoising_steps=steps))(velocity, noise())
    return [float(drawn.double().mean()), float(drawn.double().std())]


@pytest.mark.parametrize(
    ("scale", "t", "expected", "evaluations"),
    [
        (1.0, 0.5, 3.0, (1, 0)),
        (0.0, 0.5, 1.0, (0, 1)),
        (2.5, 0.5, 6.0, (1, 1)),
        (2.5, 0.2, 6.0, (1, 1)),
        (2.5, 0.8, 6.0, (1, 1)),
        (2.5, 0.19, 3.0, (1, 0)),
        (2.5, 0.81, 3.0, (1, 0)),
        (0.0, 0.81, 3.0, (1, 0)),
    ],
)
@pytest.mark.parametrize("kind", ["cfg", "autoguidance"])
def test_scales_times_and_what_they_cost(
    kind: GuidanceKind, scale: float, t: float, expected: float, evaluations: tuple[int, int]
) -> None:
    model, reference = Constant(3.0), Constant(1.0)
    velocity = guide(kind)(model, reference, Strength(scale, (0.2, 0.8)))
    result = velocity(torch.zeros(2, 1, 1, 1), t, t - 0.1)
    assert result.flatten().tolist() == [expected, expected]
    assert (model.count, reference.count) == evaluations


@pytest.mark.parametrize("kind", get_args(GuidanceKind))
def test_scale_one_and_nothing_to_guide_away_from_leave_the_model_alone(kind: GuidanceKind) -> None:
    alone = Constant(3.0)
    assert guide(kind)(alone, Constant(1.0), Strength(1.0)) is alone
    assert guide(kind)(alone, None, Strength(2.0)) is alone


def test_every_kind_that_a_config_may_name_is_there() -> None:
    assert tuple(GUIDANCE) == get_args(GuidanceKind)


@pytest.mark.parametrize(
    ("kind", "sampler", "exponent", "evaluations"),
    [
        ("cfg", Euler, 0.0, 2 * 6),
        ("cfg", Heun, 0.0, 2 * 11),
        ("autoguidance", Heun, 0.0, 2 * 11),
        ("rectified_cfg++", Euler, 0.0, 3 * 6),
        ("rectified_cfg++", Euler, 1.0, 1 + 3 * 5),
        ("rectified_cfg++", Heun, 0.0, 3 * 6 + 2 * 5),
        ("rectified_cfg++", DPMSolverPlusPlus, 0.0, 3 * 6),
    ],
)
def test_evaluations_of_six_steps(
    kind: GuidanceKind, sampler: Callable[[SamplerOptions], Sampler], exponent: float, evaluations: int
) -> None:
    model, reference = Constant(3.0), Constant(1.0)
    velocity = guide(kind)(model, reference, Strength(2.0, exponent=exponent))
    sampler(SamplerOptions(denoising_steps=6))(velocity, torch.zeros(1, 1, 1, 1))
    assert model.count + reference.count == evaluations


def test_the_scale_grows_towards_the_data_by_its_exponent() -> None:
    strength = Strength(3.0, (0.1, 1.0), exponent=2.0)
    assert [strength.at(t) for t in (1.0, 0.5, 0.1, 0.0)] == pytest.approx([1.0, 1.5, 2.62, 1.0])
    assert Strength(3.0).at(1.0) == Strength(3.0).at(0.0) == 3.0


def test_cfg_between_normals_of_one_width_moves_the_mean() -> None:
    """p_c^w p_u^(1-w) of N(1, s^2) and N(-.5, s^2) is N(-.5 + w 1.5, s^2), at every t."""
    model, null = Normal(1.0), Normal(-0.5)
    velocity = guide("cfg")(model, null, Strength(3.0))
    goal, x = Normal(-0.5 + 3 * 1.5), torch.linspace(-3, 3, 7).reshape(-1, 1, 1, 1)
    for t in (0.05, 0.4, 0.9):
        torch.testing.assert_close(velocity(x, t, 0.0), goal(x, t))
    assert moments(velocity) == pytest.approx([4.0, 0.5], abs=0.01)


def test_guidance_inside_an_interval_moves_the_mean_less() -> None:
    inside = guide("cfg")(Normal(1.0), Normal(-0.5), Strength(3.0, (0.3, 0.7)))
    mean, width = moments(inside)
    assert 1.2 < mean < 3.8
    assert width == pytest.approx(0.5, abs=0.01)


def test_autoguidance_takes_back_an_error_that_a_worse_model_has_more_of() -> None:
    """Truth 0, model .2, worse model .6: with w = 1.5, 1.5 x .2 - .5 x .6 = 0."""
    velocity = guide("autoguidance")(Normal(0.2), Normal(0.6), Strength(1.5))
    assert moments(velocity) == pytest.approx([0.0, 0.5], abs=0.01)


def test_autoguidance_away_from_a_wider_model_concentrates() -> None:
    """Scores combine as w s_m + (1 - w) s_r; with v = -(x + t score) / (1 - t), dx/dt = c(t) x and x(0) is known."""
    model, worse, weight = Normal(0.0, 0.5), Normal(0.0, 0.8), 2.0
    velocity = guide("autoguidance")(model, worse, Strength(weight))

    def factor(t: float) -> float:
        precision = weight / model.variance(t) + (1 - weight) / worse.variance(t)
        return -(1 - t * precision) / (1 - t)

    x = torch.ones(1, 1, 1, 1)
    for t in (0.1, 0.5, 0.95):
        assert float(velocity(x, t, 0.0)) == pytest.approx(factor(t), rel=1e-4)
    grid = [(i + 0.5) / 4000 for i in range(4000)]
    expected = math.exp(-sum(map(factor, grid)) / len(grid))
    assert expected < 0.4, "narrower than the model's .5"
    assert moments(velocity) == pytest.approx([0.0, expected], abs=0.01)


def test_rectified_cfg_is_its_formula_step_by_step() -> None:
    """The equations written out, with a velocity for which it matters where the difference is taken."""

    def model(x: Tensor, t: float, t_next: float) -> Tensor:
        return torch.sin(3 * x) + t

    def null(x: Tensor, t: float, t_next: float) -> Tensor:
        return torch.cos(2 * x) * t

    velocity = guide("rectified_cfg++")(model, null, Strength(3.5, exponent=0.5))
    x = torch.linspace(-1, 1, 5).reshape(-1, 1, 1, 1)
    t, t_next = 0.6, 0.4
    ahead = x + (t_next - t) / 2 * model(x, t, t_next)
    expected = model(x, t, 0.0) + 2.5 * (1 - t) ** 0.5 * (model(ahead, 0.5, 0.0) - null(ahead, 0.5, 0.0))
    torch.testing.assert_close(velocity(x, t, t_next), expected)
    here = model(x, t, t) + 2.5 * (1 - t) ** 0.5 * (model(x, t, t) - null(x, t, t))
    torch.testing.assert_close(velocity(x, t, t), here)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_rectified_cfg_between_normals(exponent: float) -> None:
    """In small steps it integrates d mean / dt = slope mean + offset (mu_c + alpha(t) (mu_c - mu_u))."""
    model, null = Normal(1.0), Normal(-0.5)
    strength = Strength(3.0, exponent=exponent)
    mean, steps = 0.0, 4000
    for i in range(steps):
        t = 1 - (i + 0.5) / steps
        pull = 1.0 + (strength.at(t) - 1) * 1.5
        middle = mean - (model.slope(t) * mean + model.offset(t) * pull) / (2 * steps)
        mean -= (model.slope(t) * middle + model.offset(t) * pull) / steps
    drawn = moments(guide("rectified_cfg++")(model, null, strength), steps=1000, sampler=Euler)
    assert drawn == pytest.approx([mean, 0.5], abs=0.02)
    if exponent == 0:
        assert mean == pytest.approx(-0.5 + 3 * 1.5, abs=0.01), "with constant alpha, the limit of small steps is CFG's"


def test_times_of_a_step_are_those_of_the_sampler() -> None:
    """The half step ahead lies between this time of the grid and the next."""
    seen: list[float] = []

    def model(x: Tensor, t: float, t_next: float) -> Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    velocity = guide("rectified_cfg++")(model, Constant(0.0), Strength(2.0))
    Euler(SamplerOptions(denoising_steps=2, shift=3.0))(velocity, torch.zeros(1, 1, 1, 1))
    first, second, last = times(2, 3.0)
    assert seen == pytest.approx([first, (first + second) / 2, second, (second + last) / 2])
