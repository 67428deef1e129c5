"""Frequency bands, electrode regions and the alpha peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDS: dict[str, tuple[float, float]] = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
"""Half-open intervals in Hz."""

WHOLE = (1.0, 45.0)
"""The range that spectra are compared over, in Hz, both ends included."""

POSTERIOR = frozenset({"o1", "o2", "oz", "p3", "p4", "pz"})
EARS = frozenset({"a1", "a2", "m1", "m2"})


def bands(frequency: Array) -> dict[str, NDArray[np.bool_]]:
    """The bins of each band; a band that Nyquist cuts keeps what is left, one without bins is dropped."""
    masks = {name: (frequency >= low) & (frequency < high) for name, (low, high) in BANDS.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def whole(frequency: Array) -> NDArray[np.bool_]:
    """The bins of 1-45 Hz, or all but zero for series that have next to none there."""
    mask = (frequency >= WHOLE[0]) & (frequency <= WHOLE[1])
    return mask if mask.sum() > 1 else frequency > 0


def electrode(name: str) -> str:
    """A channel's name without the prefixes that file formats add: "EEG Fp1" and "Fp1" are one."""
    return name.lower().removeprefix("eeg").strip()


def posterior(channel_names: tuple[str, ...]) -> list[int]:
    """Channels over occipital and parietal cortex; all of them when none is named so."""
    found = [index for index, name in enumerate(channel_names) if electrode(name) in POSTERIOR]
    return found or list(range(len(channel_names)))


def scalp(channel_names: tuple[str, ...]) -> list[int]:
    """Channels on the scalp: all but ears, mastoids and differences of them such as A2-A1."""
    return [index for index, name in enumerate(channel_names) if not set(electrode(name).split("-")) <= EARS]


@dataclass(frozen=True)
class Alpha:
    """The alpha peak of each window, above a straight line through the spectrum in log-log axes."""

    height: Array
    """dB above the line: (n,)."""
    frequency: Array
    """Hz: (n,)."""
    exponent: Array
    """Of the 1/f^exponent that the line stands for: (n,)."""

    def __getitem__(self, rows: NDArray[np.int64]) -> Alpha:
        """The peaks of some of the windows."""
        return Alpha(self.height[rows], self.frequency[rows], self.exponent[rows])


def alpha_peaks(decibels: Array, frequency: Array) -> Alpha | None:
    """Fit 2-40 Hz without 7-14 Hz by a line, take the highest residual between 7 and 13.5 Hz.

    Args:
        decibels: Spectra in dB, (n, bins).
        frequency: Of the bins, in Hz.

    Returns:
        The peaks, or None when the spectrum has no bins on both sides of alpha.
    """
    fitted = (frequency >= 2) & (frequency <= 40) & ~((frequency >= 7) & (frequency <= 14))
    inside = (frequency >= 7) & (frequency <= 13.5)
    if not inside.any() or not (fitted & (frequency < 7)).any() or not (fitted & (frequency > 14)).any():
        return None
    line = _line(frequency)
    slope, *_ = np.linalg.lstsq(line[fitted], decibels[:, fitted].T, rcond=None)
    residual = decibels[:, inside] - (line[inside] @ slope).T
    return Alpha(height=residual.max(1), frequency=frequency[inside][residual.argmax(1)], exponent=-slope[0] / 10)


def _line(frequency: Array) -> Array:
    """Design matrix of a line in log frequency: (bins, 2); bin zero is never used."""
    return np.stack([np.log10(np.maximum(frequency, 1e-12)), np.ones_like(frequency)], 1)
