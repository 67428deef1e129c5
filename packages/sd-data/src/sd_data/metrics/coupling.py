"""How electrodes move together, band by band: coherence, and who leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.signal.windows import hann

from sd_data.metrics.bands import bands

Array = NDArray[np.float64]

POWER_FLOOR = 1e-12
"""Smallest power of a segment: silence is coherent with nothing."""


@dataclass(frozen=True)
class Coupling:
    """Means over windows; both (bands, channels, channels), of the bands in `names`."""

    names: tuple[str, ...]
    coherence: Array
    """Magnitude-squared coherence, 0 to 1."""
    lead: Array
    """Imaginary part of the coherency (Nolte 2004, equation 2), -1 to 1: antisymmetric, and of the other
    sign when time runs backwards; a source that reaches two electrodes at once adds nothing to it."""


def frequencies(n_samples: int, sfreq: float, segment: int) -> Array:
    """Of the bins of a segment, in Hz; segments are so short that a window holds three at least."""
    return np.asarray(np.fft.rfftfreq(_length(n_samples, segment), 1 / sfreq))


def coupled(x: Array, sfreq: float, segment: int) -> Array:
    """Coherence and lead of every window: (n, 2, bands, channels, channels).

    Args:
        x: Demeaned windows (n, channels, samples).
        sfreq: Hz.
        segment: Samples of a segment, half overlapping, under a Hann window.
    """
    length = _length(x.shape[-1], segment)
    frequency = frequencies(x.shape[-1], sfreq, segment)
    parts = sliding_window_view(x, length, axis=-1)[..., :: max(1, length // 2), :]
    spectra = np.fft.rfft(parts * hann(length, sym=False), axis=-1)
    found = np.zeros((len(x), 2, len(bands(frequency)), x.shape[1], x.shape[1]))
    for place, inside in enumerate(bands(frequency).values()):
        coherency = _coherency(spectra[..., inside].transpose(0, 3, 1, 2))
        found[:, 0, place] = (coherency.real**2 + coherency.imag**2).mean(1)
        found[:, 1, place] = coherency.imag.mean(1)
    return found


def _coherency(spectra: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """(n, bins, channels, segments) -> (n, bins, channels, channels)."""
    cross = spectra @ spectra.conj().transpose(0, 1, 3, 2)
    amplitude = np.sqrt(np.maximum(np.einsum("nfcc->nfc", cross).real, POWER_FLOOR))
    return np.asarray(cross / amplitude[..., :, None] / amplitude[..., None, :])


def _length(n_samples: int, segment: int) -> int:
    return max(2, min(segment, n_samples // 2))
