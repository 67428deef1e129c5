"""What the brains of the demo corpus produce: a 1/f background and damped rhythms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import lfilter

from sd_data.corpora.population import Subject
from sd_data.corpora.scalp import background_sources, directions, reach

Floats = NDArray[np.float64]

KNEE = 3.0
_BACKGROUND_DEGREES, _RHYTHM_DEGREES = 38.0, 40.0
_ENVELOPE_SECONDS, _ENVELOPE_SPREAD = 2.0, 0.25
_COMMON, _OWN = 0.6, 0.8
"""Shares of the drive that the sources of a rhythm have in common and for themselves; squares add up to 1."""
_JITTER_HZ = 0.15


@dataclass(frozen=True)
class Rhythm:
    """One oscillation: where, how fast, how sharp, how high over the background."""

    electrodes: tuple[str, ...]
    hz: float
    width_hz: float
    height_db: float


def rhythms(person: Subject, state: str, effect_scale: float) -> tuple[Rhythm, ...]:
    """Alpha, mu, beta and theta of a person; mental arithmetic costs alpha 2 dB and gives theta 1 dB."""
    busy = effect_scale * (state == "arithmetic")
    return (
        Rhythm(("O1", "O2", "Pz"), person.alpha_hz, person.alpha_width_hz, person.alpha_db - 2 * busy),
        Rhythm(("C3", "C4"), person.alpha_hz + 0.5, 2.0, person.alpha_db - 6),
        Rhythm(("C3", "C4", "Fz"), person.beta_hz, 4.0, person.beta_db),
        Rhythm(("Fz", "Cz"), 6.0, 2.0, person.theta_db + busy),
    )


def brain(
    rng: np.random.Generator,
    person: Subject,
    played: tuple[Rhythm, ...],
    electrodes: Floats,
    *,
    count: int,
    sfreq: float,
) -> Floats:
    """The potential at the electrodes without artefacts: (electrodes, count) microvolts."""
    lead = reach(electrodes, background_sources(), _BACKGROUND_DEGREES)
    lead /= np.sqrt((lead**2).sum(axis=1).mean())  # unit variance on average over electrodes
    signal = lead @ power_law(rng, person.exponent, (len(lead.T), count), sfreq)
    signal *= envelope(rng, count, sfreq)
    for rhythm in played:
        variance = 10 ** (rhythm.height_db / 10) * background_density(rhythm.hz, person.exponent, sfreq)
        # A Lorentzian peak of this width and unit variance is 2 / (pi width) high.
        signal += np.sqrt(variance * np.pi * rhythm.width_hz / 2) * _regional(rng, rhythm, electrodes, count, sfreq)
    return person.amplitude_uv * signal


def power_law(rng: np.random.Generator, exponent: float, shape: tuple[int, int], sfreq: float) -> Floats:
    """Gaussian noise (rows, count) of unit variance with power 1 / (knee + f^exponent)."""
    rows, count = shape
    length = next_fast_len(count, real=True)
    power = 1 / (KNEE + np.fft.rfftfreq(length, 1 / sfreq) ** exponent)
    power[0] = 0
    spectrum = rng.standard_normal((rows, 2 * len(power))).view(np.complex128)
    spectrum *= np.sqrt(power / power.sum()) * length / 2
    return np.fft.irfft(spectrum, length, axis=-1)[:, :count]


def background_density(hz: float, exponent: float, sfreq: float) -> float:
    """One-sided power density per Hz, at `hz`, of a background of unit variance."""
    grid = np.arange(1, 1024) * sfreq / 2048
    return float(1 / (KNEE + hz**exponent) / (np.sum(1 / (KNEE + grid**exponent)) * sfreq / 2048))


def envelope(rng: np.random.Generator, count: int, sfreq: float) -> Floats:
    """A slow log-normal modulation (count,) of unit mean square: exp of an Ornstein-Uhlenbeck process.

    Makes the background heavy-tailed, as EEG is: a Gaussian of changing size has excess kurtosis.
    """
    memory = np.exp(-1 / (sfreq * _ENVELOPE_SECONDS))
    drive = rng.standard_normal(count) * np.sqrt(1 - memory**2)
    drive[0] /= np.sqrt(1 - memory**2)  # starts in its stationary state
    slow = _ENVELOPE_SPREAD * lfilter([1], [1, -memory], drive)
    return np.asarray(np.exp(slow - _ENVELOPE_SPREAD**2))


def damped_oscillation(rng: np.random.Generator, hz: float, width_hz: float, count: int, sfreq: float) -> Floats:
    """AR(2) noise (count,) of unit variance with its peak at `hz` and this full width at half maximum."""
    radius = np.exp(-np.pi * width_hz / sfreq)
    a1, a2 = 2 * radius * np.cos(2 * np.pi * hz / sfreq), -(radius**2)
    variance = (1 - a2) / ((1 + a2) * ((1 - a2) ** 2 - a1**2))
    settle = int(np.ceil(6 * sfreq / (np.pi * width_hz)))
    return np.asarray(lfilter([1], [1, -a1, -a2], rng.standard_normal(count + settle))[settle:] / np.sqrt(variance))


def _regional(rng: np.random.Generator, rhythm: Rhythm, electrodes: Floats, count: int, sfreq: float) -> Floats:
    """A rhythm at all electrodes; its standard deviation is 1 where it is strongest."""
    lead = reach(electrodes, directions(rhythm.electrodes), _RHYTHM_DEGREES)
    sources = len(rhythm.electrodes)
    lead /= np.sqrt(((_COMMON * lead.sum(axis=1)) ** 2 + (_OWN**2) * (lead**2).sum(axis=1)).max())
    speeds = rhythm.hz + _JITTER_HZ * rng.standard_normal(sources)
    own = np.stack([damped_oscillation(rng, hz, rhythm.width_hz, count, sfreq) for hz in speeds])
    common = damped_oscillation(rng, rhythm.hz, rhythm.width_hz, count, sfreq)
    return np.asarray(lead @ (_COMMON * common + _OWN * own))
