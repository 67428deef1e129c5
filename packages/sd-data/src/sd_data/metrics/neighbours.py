"""How a training window must be changed to look most like a generated one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Spectrum = NDArray[np.complex64]


@dataclass(frozen=True)
class Alignment:
    """Reverse in time, then change the sign, then move."""

    shift: float
    """Share of the window by which to move it; what leaves at one end comes in at the other."""
    reversed: bool
    flipped: bool

    def applied(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """The changed signal (..., samples)."""
        changed = np.roll(signal[..., ::-1], 1, axis=-1) if self.reversed else signal
        changed = -changed if self.flipped else changed
        return np.asarray(np.roll(changed, round(self.shift * signal.shape[-1]), axis=-1))

    @property
    def words(self) -> str:
        """What is done, for people; empty when nothing is but a shift."""
        done = [word for word, is_so in (("reversed", self.reversed), ("sign changed", self.flipped)) if is_so]
        return ", ".join(done)


@dataclass(frozen=True)
class Neighbour:
    """A generated window and the training window that it is nearest to."""

    generated: int
    """Row of the generated window."""
    train: int
    """Row of the training window."""
    ratio: float
    """Their distance over the median of held-out windows: 1 is usual for real people, 0 a copy."""
    alignment: Alignment
    """Of the training window."""


def align(one: Spectrum, other: Spectrum, max_shift: float) -> Alignment:
    """How `other` looks most like `one`, both one-sided spectra without bin zero, (bins, channels)."""
    length = 4 * (len(one) + 1)
    lags = min(length // 2, round(max_shift * length))
    within = np.arange(-lags, lags + 1)
    found = []
    for is_reversed, conjugate in ((False, other.conj()), (True, other)):
        correlation = np.fft.irfft(np.concatenate([[0], (one * conjugate).sum(1)]), n=length)[within]
        best = int(np.abs(correlation).argmax())
        alignment = Alignment(float(within[best] / length), is_reversed, bool(correlation[best] < 0))
        found.append((float(np.abs(correlation[best])), alignment))
    return max(found, key=lambda pair: pair[0])[1]
