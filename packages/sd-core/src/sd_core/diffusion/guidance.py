"""How the velocity of a model and that of a reference become one guided velocity.

With w = `cfg_scale`, m the model's velocity and r the reference's, all three kinds are m + (w - 1) (m - r);
they differ in what r is and where m - r is taken.

| kind | reference r | network evaluations per evaluated velocity |
|---|---|---|
| "cfg" | the model under the null condition | 2 |
| "autoguidance" | an earlier checkpoint under the same condition | 2, one of them the reference's network |
| "rectified_cfg++" | the model under the null condition, half a step ahead | 3 |

Scale 1, and times outside the interval, cost one evaluation. Euler, DPM-Solver++ and UniPC evaluate one velocity per
step, Heun two (one in its last step); at Heun's second velocity "rectified_cfg++" has no step ahead and costs two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from sd_core.config.sections import GuidanceKind

if TYPE_CHECKING:
    from sd_core.protocols import Velocity

    Rule = Callable[[Velocity, Velocity, "Strength"], Velocity]
    """(the model's velocity, the reference's, strength) -> guided velocity."""


@dataclass(frozen=True)
class Strength:
    """How strongly to guide at each time."""

    scale: float
    """1 is no guidance."""
    interval: tuple[float, float] = (0.0, 1.0)
    """Guidance acts for low <= t <= high only (Kynkaanniemi 2024, 2404.07724)."""
    exponent: float = 0.0
    """gamma: the excess over 1 is multiplied by (1 - t)^gamma; 0 keeps it constant."""

    def at(self, t: float) -> float:
        """The scale at time t: 1 + (scale - 1) (1 - t)^gamma inside the interval, 1 outside."""
        low, high = self.interval
        if not low <= t <= high:
            return 1.0
        weight: float = 1 + (self.scale - 1) * (1 - t) ** self.exponent
        return weight


@dataclass(frozen=True)
class Guidance:
    """A kind of guidance: a rule, and whose velocity it guides away from."""

    rule: Rule
    reference: Literal["null", "earlier"]
    """"null": the model under the null condition; "earlier": a worse version of it, `guidance_checkpoint`."""

    def __call__(self, model: Velocity, reference: Velocity | None, strength: Strength) -> Velocity:
        """The guided velocity; the model's own at scale 1, or where there is nothing to guide away from."""
        if strength.scale == 1 or reference is None:
            return model
        return self.rule(model, reference, strength)


def guide(name: GuidanceKind) -> Guidance:
    """The kind of guidance called `name` in `[inference] guidance`; the config knows the names."""
    return GUIDANCE[name]


def extrapolate(model: Velocity, reference: Velocity, strength: Strength) -> Velocity:
    """R + w (m - r): from the reference through the model and beyond.

    With the null condition as reference this is classifier-free guidance (Ho & Salimans 2022, 2207.12598,
    equation 6). With a worse version of the model (less trained, smaller) it is autoguidance (Karras 2024,
    2406.02507, equation 3 for D in place of v, which the path's linear map between D and v carries over): what
    the two disagree about are the errors of both, larger in the worse one. It needs no condition.

    Two evaluations; one where w is 1 (the model's) or 0 (the reference's).
    """

    def guided(x: Tensor, t: float, t_next: float) -> Tensor:
        weight = strength.at(t)
        if weight == 1:
            return model(x, t, t_next)
        away = reference(x, t, t_next)
        return away if weight == 0 else away + weight * (model(x, t, t_next) - away)

    return guided


def rectified(model: Velocity, reference: Velocity, strength: Strength) -> Velocity:
    """Rectified-CFG++ (Saini 2025, 2510.07631): the condition leads, guidance is measured half a step ahead.

    Predictor: x' = x + (t_next - t) / 2 m(x, t), at t' = (t + t_next) / 2, along the conditional flow alone.
    Corrector: m(x, t) + alpha(t) (m(x', t') - r(x', t')) with alpha(t) = lambda_max (1 - t)^gamma. Here
    lambda_max = scale - 1, so that scale 1 is no guidance, and gamma is `guidance_exponent`.

    Of the paper itself only the abstract could be read while this was written; predictor, corrector and
    schedule are from a published summary of its section 3, which gives them with these symbols. The authors' own
    pipeline for SD3 (github.com/shreshthsaini/Rectified-CFGpp) departs from that: it keeps alpha constant
    (gamma = 0, our default, too), predicts a whole step and adds a little noise, which we do not. Note
    that (1 - t)^gamma grows towards the data (t = 0) where the authors' pages speak of decay.

    Three evaluations; two where the step has no length (the second velocity of a Heun step, where x' = x);
    one where alpha is 0.
    """

    def guided(x: Tensor, t: float, t_next: float) -> Tensor:
        here = model(x, t, t_next)
        alpha = strength.at(t) - 1
        if alpha == 0:
            return here
        if t_next == t:
            return here + alpha * (here - reference(x, t, t_next))
        middle = (t + t_next) / 2
        ahead = x + (middle - t) * here
        return here + alpha * (model(ahead, middle, t_next) - reference(ahead, middle, t_next))

    return guided


GUIDANCE: dict[GuidanceKind, Guidance] = {
    "cfg": Guidance(extrapolate, "null"),
    "autoguidance": Guidance(extrapolate, "earlier"),
    "rectified_cfg++": Guidance(rectified, "null"),
}
"""Kinds of guidance by their name in the config."""
