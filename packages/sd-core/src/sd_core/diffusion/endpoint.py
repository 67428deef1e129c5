"""What a predicted end of the path must share with the data, beside being near it in the mean square.

A baseline after JET (Just EEG Transformer, 2605.21280), which adds constraints on the predicted endpoint of a
flow to the flow's own loss. It goes by the paper's description, not by its code; weights and times are ours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sd_core.diffusion.options import FlowOptions

FADE = 1.0
"""Exponent of the fading where none is given."""
TINY = 1e-6
"""Added to variances: rows without any keep their gradients finite."""


class Endpoint:
    """Weighted sum of the endpoint losses that have a weight, of which there is one, times (1 - t)^endpoint_fade.

    A row is what lies along the last axis: time of an electrode in a series, frames of a frequency in a spectrogram.
    Far from the data the best endpoint is a mean over many windows, smoother and weaker than any of them; to ask it
    for a window's moments and variation there would teach amplitude that is not known yet. Hence the fading.
    """

    def __init__(self, options: FlowOptions) -> None:
        self._terms = [(_TERMS[key], weight) for key, weight in options.endpoint_losses.items()]
        self._fade = FADE if options.endpoint_fade is None else options.endpoint_fade

    def __call__(self, predicted: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """Endpoints (B, C, H, W), predicted and true, at t (B,) -> (B,) float32."""
        losses = torch.stack([weight * term(predicted, x0).flatten(1).mean(1) for term, weight in self._terms])
        return (1 - t.float()) ** self._fade * losses.sum(0)


def absolute(predicted: Tensor, x0: Tensor) -> Tensor:
    """Absolute error of every value: (B, C, H, W)."""
    return (predicted - x0).abs()


def moments(predicted: Tensor, x0: Tensor) -> Tensor:
    """Absolute errors of the mean and of the standard deviation of every row, added: (B, C, H)."""
    spread = _spread(predicted - predicted.mean(-1, keepdim=True)) - _spread(x0 - x0.mean(-1, keepdim=True))
    return (predicted.mean(-1) - x0.mean(-1)).abs() + spread.abs()


def variation(predicted: Tensor, x0: Tensor) -> Tensor:
    """Absolute error of the total variation of every row, per step: (B, C, H).

    Of the difference, where a smoothness penalty would take the variation itself: the data's is not to be undercut.
    """
    steps = max(1, x0.shape[-1] - 1)
    return (predicted.diff().abs().sum(-1) - x0.diff().abs().sum(-1)).abs() / steps


def correlation(predicted: Tensor, x0: Tensor) -> Tensor:
    """One less Pearson's correlation of every row: (B, C, H)."""
    a, b = (x - x.mean(-1, keepdim=True) for x in (predicted, x0))
    return 1 - ((a * b).mean(-1) + TINY) / (_spread(a) * _spread(b))


def _spread(centred: Tensor) -> Tensor:
    return (centred.square().mean(-1) + TINY).sqrt()


_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "endpoint_l1": absolute,
    "endpoint_moments": moments,
    "endpoint_variation": variation,
    "endpoint_correlation": correlation,
}
