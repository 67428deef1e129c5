"""What every sampler must do: subclass `SamplerContract` in a test module of your plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sd_core.protocols import Sampler


class GaussianFlow:
    """The exact velocity of data that are normal(mean, std), with a record of where it was asked.

    On the path x_t = (1 - t) x0 + t noise, x_t is normal with mean (1 - t) mean and variance
    (1 - t)^2 std^2 + t^2; following dx/dt keeps (x_t - its mean) / its deviation, so that noise n
    arrives at mean + std n.
    """

    def __init__(self, mean: float = 0.7, std: float = 0.4) -> None:
        self.mean = mean
        self.std = std
        self.calls: list[tuple[float, float]] = []
        """(t, t_next) of every evaluation so far."""

    def __call__(self, x: Tensor, t: float, t_next: float) -> Tensor:
        """The velocity at x_t (any shape)."""
        self.calls.append((t, t_next))
        variance = ((1 - t) * self.std) ** 2 + t**2
        return -self.mean + (t - (1 - t) * self.std**2) / variance * (x - (1 - t) * self.mean)

    def data(self, noise: Tensor) -> Tensor:
        """Where noise arrives."""
        return self.mean + self.std * noise

    def error(self, sampler: Sampler, noise: Tensor) -> float:
        """Largest distance of the sampler's result from where the noise should arrive."""
        return float((sampler(self, noise) - self.data(noise)).abs().max())


class SamplerContract:
    """Tests of a sampler; a subclass named `Test...` says which one.

    Example:
        class TestMine(SamplerContract):
            def sampler(self, steps, shift=1.0):
                return Mine(MineOptions(denoising_steps=steps, shift=shift))
    """

    def sampler(self, steps: int, shift: float = 1.0) -> Sampler:
        """The sampler under test, with so many steps."""
        raise NotImplementedError

    def test_it_reaches_the_data(self) -> None:
        """Noise arrives where the exact flow takes it, and nearer with more steps."""
        coarse = GaussianFlow().error(self.sampler(10), _noise())
        fine = GaussianFlow().error(self.sampler(80), _noise())
        assert fine < 0.02
        assert fine < coarse / 4

    def test_it_follows_a_straight_path_in_one_step(self) -> None:
        """A constant velocity needs no more."""
        noise = _noise()
        data = self.sampler(1)(lambda x, _t, _t_next: torch.full_like(x, 0.5), noise)
        torch.testing.assert_close(data, noise - 0.5, rtol=0, atol=1e-3)

    def test_times_run_from_noise_to_data(self) -> None:
        """Every evaluation is at some t in [0, 1] on the way down, and the last step ends at 0."""
        flow = GaussianFlow()
        self.sampler(6)(flow, _noise())
        starts = [t for t, _ in flow.calls]
        assert 0.99 < starts[0] <= 1
        assert starts == sorted(starts, reverse=True)
        assert all(0 <= t_next <= t for t, t_next in flow.calls)
        assert flow.calls[-1][1] == 0

    def test_shift_spends_more_steps_near_noise(self) -> None:
        """`[inference] shift` moves the grid."""
        plain, shifted = GaussianFlow(), GaussianFlow()
        self.sampler(6)(plain, _noise())
        self.sampler(6, shift=3.0)(shifted, _noise())
        assert sum(t for t, _ in shifted.calls) > sum(t for t, _ in plain.calls) + 0.5

    def test_it_computes_in_float32_and_leaves_the_noise_alone(self) -> None:
        """Also when autocast makes the velocity bfloat16."""
        noise = _noise()
        before = noise.clone()
        data = self.sampler(3)(lambda x, _t, _t_next: x.bfloat16(), noise)
        assert data.shape == noise.shape
        assert data.dtype == torch.float32
        assert torch.equal(noise, before)

    def test_examples_do_not_see_each_other_nor_the_past(self) -> None:
        """A sampler may be called again and again, with batches of any size."""
        sampler, noise = self.sampler(5), _noise()
        together = sampler(GaussianFlow(), noise)
        alone = torch.cat([sampler(GaussianFlow(), row[None]) for row in noise])
        torch.testing.assert_close(together, alone)


def _noise() -> Tensor:
    return torch.randn((4, 1, 2, 3), generator=torch.Generator().manual_seed(0))
