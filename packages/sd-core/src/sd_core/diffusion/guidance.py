"""How a conditional and an unconditional velocity become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from sd_core.config.sections import GuidanceKind

if TYPE_CHECKING:
    from sd_core.protocols import Velocity

    Guidance = Callable[[Velocity, Velocity | None, float, tuple[float, float]], Velocity]
    """(conditional, unconditional or None, scale, interval [low, high] of t) -> guided velocity."""


def guide(name: GuidanceKind) -> Guidance:
    """The kind of guidance called `name` in `[inference] guidance`; the config knows the names."""
    return GUIDANCE[name]


def classifier_free(
    conditional: Velocity, unconditional: Velocity | None, scale: float, interval: tuple[float, float]
) -> Velocity:
    """Classifier-free guidance u + scale (c - u) (Ho & Salimans 2022, 2207.12598, equation 6).

    It acts for low <= t <= high only (Kynkaanniemi 2024, 2404.07724). Scale 1, or a time outside
    the interval, costs one evaluation: the conditional one; so does scale 0: the unconditional one.

    Args:
        conditional: Velocity under the condition.
        unconditional: Velocity under the null condition; None when the network takes
            no condition, where no scale does anything.
        scale: 1 leaves the conditional velocity.
        interval: (low, high) in t.
    """
    if scale == 1 or unconditional is None:
        return conditional
    low, high = interval

    def guided(x: Tensor, t: float, t_next: float) -> Tensor:
        if not low <= t <= high:
            return conditional(x, t, t_next)
        away = unconditional(x, t, t_next)
        return away if scale == 0 else away + scale * (conditional(x, t, t_next) - away)

    return guided


GUIDANCE: dict[GuidanceKind, Guidance] = {"cfg": classifier_free}
"""Kinds of guidance by their name in the config."""
