"""Flow matching on straight paths (Liu 2022, 2209.03003; Lipman 2023, 2210.02747).

Path x_t = (1 - t) x0 + t noise with t = 0 data and t = 1 noise; velocity dx/dt = noise - x0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from sd_core.diffusion import timesteps
from sd_core.diffusion.endpoint import Endpoint
from sd_core.diffusion.options import FlowOptions

if TYPE_CHECKING:
    from sd_core.protocols import Denoise

CLAMP = 0.05
"""Smallest divisor of a velocity: without it a 5 % error of x0 doubles at the last step."""


class Flow:
    """The flow objective: whatever the network predicts, the loss is on its velocity.

    Args:
        options: With `prediction_type` settled; core puts the network's hint in the place of "auto".

    Raises:
        ValueError: `prediction_type` is still "auto", or a hint that means nothing here.
    """

    def __init__(self, options: FlowOptions) -> None:
        if options.prediction_type not in _VELOCITIES:
            raise ValueError(
                f"prediction_type is {options.prediction_type!r}; the network's prediction_hint must have replaced "
                f'"auto" by one of {", ".join(_VELOCITIES)}'
            )
        self._to_velocity = _VELOCITIES[options.prediction_type]
        self._quantile_function = _quantile_function(options)
        self._endpoint = Endpoint(options) if options.endpoint_losses else None

    def timesteps(self, quantiles: Tensor) -> Tensor:
        """Quantiles (B,) in (0, 1) -> training times (B,) float32, increasing in the quantile."""
        return self._quantile_function(quantiles).float()

    def loss(self, denoise: Denoise, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Mean squared error of the velocity over (C, H, W), and the endpoint losses that were asked for.

        Predictions of x0 or noise are turned into velocities with the sampler's clamp, so the
        network learns to make the velocity right where the clamp acts. The endpoint is where that velocity
        leads, x_t - t v, whatever the network predicts.

        Args:
            denoise: The network with its condition bound.
            x0: (B, C, H, W) data.
            noise: (B, C, H, W) standard normal.
            t: (B,) in [0, 1].

        Returns:
            (B,) float32.
        """
        x0, noise = x0.float(), noise.float()
        xt = point(x0, noise, t)
        velocity = self.velocity(denoise, xt, t)
        error = (velocity - (noise - x0)).square().flatten(1).mean(1)
        if self._endpoint is None:
            return error
        return error + self._endpoint(xt - _column(t, xt) * velocity, x0, t)

    def velocity(self, denoise: Denoise, xt: Tensor, t: Tensor) -> Tensor:
        """dx/dt (B, C, H, W) float32 at x_t (B, C, H, W) and t (B,)."""
        return self._to_velocity(denoise(xt, t).float(), xt.float(), _column(t, xt))


def point(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t (B, C, H, W) = (1 - t) x0 + t noise for t (B,)."""
    weight = _column(t, x0)
    return (1 - weight) * x0 + weight * noise


def _column(t: Tensor, like: Tensor) -> Tensor:
    return t.float().reshape(-1, *(1,) * (like.ndim - 1))


def _from_vector_field(predicted: Tensor, xt: Tensor, t: Tensor) -> Tensor:  # noqa: ARG001 - one signature for all
    return predicted


def _from_sample(predicted: Tensor, xt: Tensor, t: Tensor) -> Tensor:
    return (xt - predicted) / t.clamp(min=CLAMP)


def _from_epsilon(predicted: Tensor, xt: Tensor, t: Tensor) -> Tensor:
    return (predicted - xt) / (1 - t).clamp(min=CLAMP)


def _from_v_prediction(predicted: Tensor, xt: Tensor, t: Tensor) -> Tensor:
    """Velocity from v = ((1 - t) noise - t x0) / s, s^2 = (1 - t)^2 + t^2 (Salimans & Ho 2022, 2202.00512).

    Theirs is the path of constant variance, which is ours over s. A network that says nothing is then the best
    linear denoiser of white data (EDM's c_skip, 2206.00364): what the input tells needs not pass through it.
    """
    variance = (1 - t) ** 2 + t**2
    return ((2 * t - 1) * xt + variance.sqrt() * predicted) / variance


_VELOCITIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "vector_field": _from_vector_field,
    "sample": _from_sample,
    "epsilon": _from_epsilon,
    "v_prediction": _from_v_prediction,
}

_LOGIT_NORMAL = {
    "vector_field": (0.0, 1.0),
    "sample": (0.8, 0.8),
    "epsilon": (0.0, 1.0),
    "v_prediction": (0.0, 1.0),
}
"""(mean, standard deviation) of logit(t); predicting x0 wants times nearer noise (JiT, 2511.13720)."""

_MODE_SCALE = 1.29
"""The best "mode" density of SD3 (2403.03206, table 1)."""


def _quantile_function(options: FlowOptions) -> Callable[[Tensor], Tensor]:
    mean, std = _LOGIT_NORMAL[options.prediction_type]
    mean = mean if options.t_mean is None else options.t_mean
    std = std if options.t_std is None else options.t_std
    scale = _MODE_SCALE if options.mode_scale is None else options.mode_scale
    return {
        "logit_normal": lambda u: timesteps.logit_normal(u, mean, std),
        "mode": lambda u: timesteps.mode(u, scale),
        "uniform": timesteps.uniform,
    }[options.timestep_sampling]
