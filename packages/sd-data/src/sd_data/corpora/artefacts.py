"""What spoils the recordings of the demo corpus: blinks, muscles, the power line, the amplifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from sd_data.corpora.scalp import directions, reach

Floats = NDArray[np.float64]

_BLINKS_PER_MINUTE = 1.3
"""Three windows of sixteen seconds in ten hold a blink."""
_BLINK_SECONDS = 0.07
"""Standard deviation of its Gaussian shape."""
_BURSTS_PER_MINUTE = 0.7
"""Of each temporal muscle."""
_LINE_HZ = 50.0
_SENSOR_UV = 0.3


@dataclass(frozen=True)
class Artefact:
    """Something that was added, and when."""

    kind: str
    start_s: float
    duration_s: float


def contaminate(rng: np.random.Generator, signal: Floats, electrodes: Floats, sfreq: float) -> list[Artefact]:
    """Add artefacts to `signal` (electrodes, samples), in microvolts, in place; returns those with a time."""
    found = _blinks(rng, signal, electrodes, sfreq)
    for side in ("T7", "T8"):
        found += _bursts(rng, side, signal, electrodes, sfreq)
    count = signal.shape[1]
    gains = rng.uniform(0.5, 1.5, len(electrodes)) * rng.lognormal(np.log(2.0), 0.4)
    if sfreq / 2 > _LINE_HZ:
        phase = rng.uniform(0, 2 * np.pi)
        signal += gains[:, None] * np.sin(2 * np.pi * _LINE_HZ * np.arange(count) / sfreq + phase)
    signal += _SENSOR_UV * rng.standard_normal(signal.shape)
    return sorted(found, key=lambda artefact: artefact.start_s)


def _blinks(rng: np.random.Generator, signal: Floats, electrodes: Floats, sfreq: float) -> list[Artefact]:
    """60 to 120 microvolts, strongest between the frontal poles."""
    eyes = directions(("Fp1", "Fp2")).mean(axis=0, keepdims=True)
    gain = reach(electrodes, eyes / np.linalg.norm(eyes), 35.0)
    time = np.arange(signal.shape[1]) / sfreq
    found = []
    for peak in rng.uniform(0, time[-1], rng.poisson(_BLINKS_PER_MINUTE * time[-1] / 60)):
        signal += gain * (rng.uniform(60, 120) * np.exp(-((time - peak) ** 2) / (2 * _BLINK_SECONDS**2)))
        found.append(Artefact("blink", float(peak - 2 * _BLINK_SECONDS), 4 * _BLINK_SECONDS))
    return found


def _bursts(rng: np.random.Generator, side: str, signal: Floats, electrodes: Floats, sfreq: float) -> list[Artefact]:
    """Muscle: 0.3 to 1 s of noise above 20 Hz, 4 to 12 microvolts, around one temporal electrode."""
    gain = reach(electrodes, directions((side,)), 25.0)
    muscle = butter(2, 20.0, "highpass", fs=sfreq, output="sos")
    count = signal.shape[1]
    found = []
    for start in rng.uniform(0, (count - sfreq) / sfreq, rng.poisson(_BURSTS_PER_MINUTE * count / sfreq / 60)):
        first, length = int(start * sfreq), int(rng.uniform(0.3, 1.0) * sfreq)
        noise = sosfilt(muscle, rng.standard_normal(length)) * np.hanning(length)
        signal[:, first : first + length] += gain * (rng.uniform(4, 12) / noise.std() * noise)
        found.append(Artefact(f"muscle at {side}", float(start), length / sfreq))
    return found
