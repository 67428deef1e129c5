"""The people of the demo corpus: labels, and what they do to the spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALPHA_RANGE = (7.0, 13.0)
EXPONENT_RANGE = (0.8, 3.2)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One generated person."""

    number: int
    age: float
    """Years."""
    female: bool
    parkinson: bool
    exponent: float
    """Of the aperiodic spectrum, 1 / (knee + f^exponent)."""
    amplitude_uv: float
    """Standard deviation of the background."""
    alpha_hz: float
    alpha_width_hz: float
    alpha_db: float
    """Heights stand over the background, at rest."""
    theta_db: float
    beta_hz: float
    beta_db: float


def subject(seed: int, number: int, effect_scale: float) -> Subject:
    """Subject `number`: the same whatever their order and how many there are.

    The directions of the effects follow the literature: a flatter spectrum and slower alpha with age
    (Voytek 2015, Merkin 2023, Donoghue 2020), a steeper spectrum, more theta and slower alpha in
    Parkinson's disease (McKeown 2024), differences of sex in beta (van Putten 2018). Their sizes per
    year and group are chosen, not fitted; the spread between people dominates them.

    Args:
        seed: Of the corpus.
        number: From 0; sex alternates, health alternates in pairs, age is uniform over 20 to 80.
        effect_scale: Multiplies what age, sex and health do.
    """
    rng = np.random.default_rng([seed, number])
    age = float(rng.integers(20, 81))
    z = rng.standard_normal(8)
    female, parkinson = number % 2 == 0, number // 2 % 2 == 1
    years, f, h = effect_scale * (age - 20), effect_scale * female, effect_scale * parkinson
    return Subject(
        number=number,
        age=age,
        female=female,
        parkinson=parkinson,
        exponent=float(np.clip(2.2 - 0.006 * years + 0.20 * h + 0.18 * z[0], *EXPONENT_RANGE)),
        alpha_hz=float(np.clip(10.6 - 0.02 * years - 0.9 * h + 0.9 * z[1], *ALPHA_RANGE)),
        alpha_width_hz=float(np.clip(1.6 + 0.3 * z[7], 0.8, 3.0)),
        alpha_db=float(12 - 0.05 * years - h + f + 3 * z[2]),
        theta_db=float(-1 + 3 * h + 2 * z[3]),
        beta_hz=float(20 + 2 * z[6]),
        beta_db=float(6 + 1.5 * f + h + 1.5 * z[4]),
        amplitude_uv=float(np.exp(np.log(9.5) + 0.08 * f - 0.004 * years + 0.18 * z[5])),
    )
