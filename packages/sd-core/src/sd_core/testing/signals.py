"""Windows that look enough like EEG to test with, and a train split that lives in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sd_core.task import SignalInfo


@dataclass
class MemoryWindows:
    """A `WindowSource` over an array (n, channels, samples) in microvolts."""

    array: NDArray[np.float32]
    info: SignalInfo

    def __len__(self) -> int:
        return len(self.array)

    def signals(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """The windows at these rows."""
        return self.array[list(rows)]


def eeg_like(count: int, signal: SignalInfo, seed: int = 0) -> MemoryWindows:
    """Windows with a 1/f spectrum from 0.5 to 45 Hz, an alpha rhythm, and electrodes that share sources; 15 uV."""
    noise = np.random.default_rng(seed)
    frequency = np.fft.rfftfreq(signal.n_samples, 1 / signal.sfreq)
    band = (frequency >= 0.5) & (frequency <= 45)
    amplitude = np.where(band, 1 / np.maximum(frequency, 1), 0)
    amplitude += np.where(band, 0.5 * np.exp(-((frequency - 10) ** 2) / 2), 0)
    size = (count, signal.n_channels, len(frequency))
    sources = np.fft.irfft(amplitude * (noise.normal(size=size) + 1j * noise.normal(size=size)), signal.n_samples)
    mixed = sources + 0.7 * np.roll(sources, 1, axis=1)
    loudness = np.exp(0.2 * noise.normal(size=(count, 1, 1)))
    return MemoryWindows((15 * loudness * mixed / mixed.std()).astype(np.float32), signal)
