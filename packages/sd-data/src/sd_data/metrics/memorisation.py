"""Whether a model copies its training windows."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import Score, Windows
from sd_data.metrics.options import MemorisationOptions

Spectrum = NDArray[np.complex64]

COPIED = "training windows are copied"
_PAIRS_AT_ONCE = 16_384
"""Pairs of windows whose cross-correlations are held at a time."""


@dataclass(frozen=True)
class _Reference:
    """What generated windows are held against."""

    real: weakref.ref[Windows]
    train: weakref.ref[Windows]
    whitening: NDArray[np.float32]
    spectra: Spectrum
    distances: NDArray[np.float64]
    """Of the held-out windows to the training windows."""


class Memorisation:
    """Distance to the nearest training window, generated over held-out real (EEG.md 3.9).

    The distance of two windows is that of their unit vectors, sqrt(2 - 2 r), where r is the largest
    correlation over shifts up to `max_shift_s`, all electrodes together, after dividing every
    frequency and electrode by its training amplitude and cutting at `max_frequency`: 0 for a copy
    whatever its scale or offset, about 1.2 for strangers, .45 for a copy with noise at a fifth of its
    power. It sees copies and noisy, scaled or moved copies; it does not see a copied style.
    """

    def __init__(self, options: MemorisationOptions) -> None:
        self.options = options
        self._known: _Reference | None = None
        self.scores: Mapping[str, Score] = {
            "memorisation": Score("Distance to training, median", ideal=1.0, alarm=0.7, alarm_means=COPIED),
            "percentile_1": Score("Distance to training, 1st percentile", ideal=1.0, alarm=0.5, alarm_means=COPIED),
            "near_copies": Score("Share of near-copies", ideal=0.0, alarm=0.02, alarm_means=COPIED),
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """Ratios to held-out real windows, and the share nearer than half of those windows' median."""
        known = self._against(real, train)
        ours = nearest(self._spectra(generated, known.whitening), known.spectra, self._shifts(generated))
        median = max(float(np.median(known.distances)), 1e-9)
        lowest = max(float(np.percentile(known.distances, 1)), 1e-9)
        return {
            "memorisation": float(np.median(ours)) / median,
            "percentile_1": float(np.percentile(ours, 1)) / lowest,
            "near_copies": float((ours < 0.5 * median).mean()),
        }

    def _against(self, real: Windows, train: Windows) -> _Reference:
        """The training windows prepared; kept between calls, since every candidate meets the same ones."""
        if self._known is None or self._known.real() is not real or self._known.train() is not train:
            whitening = self._whitening(train)
            spectra = self._spectra(train, whitening)
            distances = nearest(self._spectra(real, whitening), spectra, self._shifts(real))
            self._known = _Reference(weakref.ref(real), weakref.ref(train), whitening, spectra, distances)
        return self._known

    def _bins(self, windows: Windows) -> slice:
        """Frequencies compared: above zero, up to the limit, four at least."""
        duration = windows.info.n_samples / windows.info.sfreq
        last = min(windows.info.n_samples // 2, int(self.options.max_frequency * duration))
        return slice(1, max(last, min(4, windows.info.n_samples // 2)) + 1)

    def _shifts(self, windows: Windows) -> float:
        """The largest shift as a share of the window."""
        return min(1.0, self.options.max_shift_s * windows.info.sfreq / windows.info.n_samples)

    def _whitening(self, train: Windows) -> NDArray[np.float32]:
        """One over the training amplitude per electrode and frequency: (channels, bins)."""
        power = np.zeros((train.info.n_channels, self._bins(train).stop - 1))
        for start in range(0, len(train), 256):
            spectrum = np.fft.rfft(train.signal[start : start + 256], axis=-1)[..., self._bins(train)]
            power += (np.abs(spectrum) ** 2).sum(0)
        amplitude = np.sqrt(power / len(train))
        return np.asarray(1 / np.maximum(amplitude, 1e-6 * amplitude.max() + 1e-12), dtype=np.float32)

    def _spectra(self, windows: Windows, whitening: NDArray[np.float32]) -> Spectrum:
        """Whitened spectra of unit norm, frequency first for matrix products: (bins, n, channels)."""
        rows = []
        for start in range(0, len(windows), 256):
            spectrum = np.fft.rfft(windows.signal[start : start + 256], axis=-1)[..., self._bins(windows)] * whitening
            norm = np.sqrt((np.abs(spectrum) ** 2).sum((1, 2), keepdims=True))
            rows.append((spectrum / np.maximum(norm, 1e-12)).astype(np.complex64))
        return np.ascontiguousarray(np.concatenate(rows).transpose(2, 0, 1))


def nearest(spectra: Spectrum, reference: Spectrum, max_shift: float) -> NDArray[np.float64]:
    """Distance of every window to the nearest of the reference.

    Args:
        spectra: Unit-norm one-sided spectra without bin zero, (bins, n, channels).
        reference: The same of the reference windows, (bins, m, channels).
        max_shift: Largest shift as a share of the window's length.

    Returns:
        Distances (n,) between 0 and 2.
    """
    # Twice the critical rate: a copy that lies between two lags still correlates by more than .9.
    length = 4 * (len(spectra) + 1)
    lags = min(length // 2, round(max_shift * length))
    backwards = np.ascontiguousarray(reference.conj().transpose(0, 2, 1))
    best = np.empty(spectra.shape[1])
    rows = max(1, _PAIRS_AT_ONCE // reference.shape[1])
    for start in range(0, len(best), rows):
        cross = spectra[:, start : start + rows] @ backwards
        with_zero = np.concatenate([np.zeros_like(cross[:1]), cross])
        # Over one-sided spectra of unit norm the correlation at lag k is the real part of sum F conj(G) e^{2 pi i k f}.
        correlation = np.fft.irfft(with_zero, n=length, axis=0) * (length / 2)
        within = np.concatenate([correlation[: lags + 1], correlation[length - lags :]])
        best[start : start + rows] = within.max((0, 2))
    return np.asarray(np.sqrt(np.maximum(2 - 2 * best, 0.0)))
