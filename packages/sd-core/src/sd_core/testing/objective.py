"""What every objective must do: subclass `ObjectiveContract` in a test module of your plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sd_core.protocols import Objective


class ObjectiveContract:
    """Tests of an objective; a subclass named `Test...` says which one.

    Example:
        class TestMine(ObjectiveContract):
            def objective(self): return Mine(MineOptions(prediction_type="sample"))
            def target(self, x0, noise, t): return x0
    """

    def objective(self) -> Objective:
        """The objective under test."""
        raise NotImplementedError

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What a perfect network would predict for x_t, given x0, noise (B, C, H, W) and t (B, 1, 1, 1)."""
        raise NotImplementedError

    def test_times_are_an_increasing_function_of_quantiles(self) -> None:
        """A quantile function: inside [0, 1] and increasing, so that strata stay strata."""
        quantiles = torch.linspace(1e-5, 1 - 1e-5, 101, dtype=torch.float64)
        times = self.objective().timesteps(quantiles)
        assert times.shape == quantiles.shape
        assert times.dtype == torch.float32
        assert bool((times >= 0).all() and (times <= 1).all())
        assert bool((times.diff() > 0).all())

    def test_a_perfect_prediction_is_the_velocity_and_costs_nothing(self) -> None:
        """Away from both ends, where a velocity may be clamped."""
        x0, noise, t = _batch()
        column = t.reshape(-1, 1, 1, 1)

        def perfect(_x: Tensor, _t: Tensor) -> Tensor:
            return self.target(x0, noise, column)

        objective = self.objective()
        velocity = objective.velocity(perfect, (1 - column) * x0 + column * noise, t)
        torch.testing.assert_close(velocity, noise - x0, rtol=1e-4, atol=1e-4)
        assert float(objective.loss(perfect, x0, noise, t).max()) < 1e-8

    def test_the_loss_is_float32_and_one_number_per_example(self) -> None:
        """Also when autocast makes the network answer in bfloat16."""
        x0, noise, t = _batch()
        loss = self.objective().loss(lambda x, _t: torch.zeros_like(x, dtype=torch.bfloat16), x0, noise, t)
        assert loss.shape == (len(x0),)
        assert loss.dtype == torch.float32
        assert bool((loss > 0).all())

    def test_examples_do_not_see_each_other(self) -> None:
        """The loss of a row is the same alone and in a batch."""
        x0, noise, t = _batch()
        objective = self.objective()
        together = objective.loss(_shrink, x0, noise, t)
        alone = [objective.loss(_shrink, x0[i : i + 1], noise[i : i + 1], t[i : i + 1]) for i in range(len(x0))]
        torch.testing.assert_close(together, torch.cat(alone))

    def test_gradients_and_velocities_are_finite_at_both_ends(self) -> None:
        """At t = 0 and t = 1 no division by zero reaches the weights or the sampler."""
        x0, noise, _ = _batch(2)
        t = torch.tensor([0.0, 1.0])
        weight = torch.ones((), requires_grad=True)
        objective = self.objective()
        objective.loss(lambda x, _t: weight * x, x0, noise, t).sum().backward()
        assert weight.grad is not None
        assert bool(weight.grad.isfinite())
        assert bool(objective.velocity(_shrink, noise, t).isfinite().all())


def _batch(count: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x0 = 0.5 + torch.randn((count, 2, 3, 4), generator=random)
    return x0, torch.randn((count, 2, 3, 4), generator=random), torch.linspace(0.1, 0.9, count)


def _shrink(x: Tensor, _t: Tensor) -> Tensor:
    return 0.5 * x
