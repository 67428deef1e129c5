"""Whether a model copies its training windows."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import Score, Windows
from sd_data.metrics.comparison import of_all
from sd_data.metrics.neighbours import Neighbour, align
from sd_data.metrics.options import MemorisationOptions

if TYPE_CHECKING:
    from sd_core.protocols import Scorer

Spectrum = NDArray[np.complex64]
Distances = NDArray[np.float64]

COPIED = "training windows are copied"
_ROWS, _COLUMNS = 16, 256
"""Windows and reference windows at a time: what their pairs need stays in the cache."""


@dataclass(frozen=True)
class _Reference:
    """What generated windows are held against."""

    real: weakref.ref[Windows]
    train: weakref.ref[Windows]
    whitening: NDArray[np.float32]
    spectra: Spectrum
    distances: Distances
    """Of the held-out windows to the training windows."""


class Memorisation:
    """Distance to the nearest training window, generated over held-out real (EEG.md 3.9).

    The distance of two windows is that of their unit vectors, sqrt(2 - 2 r), where r is the largest
    correlation, of either sign, over shifts up to `max_shift_s` and both directions of time, all
    electrodes together, after dividing every frequency and electrode by its training amplitude and
    cutting at `max_frequency`: 0 for a copy whatever its scale or offset, about 1.2 for strangers, .45
    for a copy with noise at a fifth of its power. It sees copies and noisy, scaled, moved, sign-flipped
    or reversed copies; it does not see a copied style.
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
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Finds the nearest training window of every window once; the training windows are always all there."""
        known = self._against(real, train)
        spectra = self._spectra(generated, known.whitening)
        ours = known.distances if generated is real else nearest(spectra, known.spectra, self._shifts(generated))
        return lambda held_out, made: _ratios(known.distances[held_out], ours[made])

    def closest(self, real: Windows, generated: Windows, train: Windows, most: int) -> list[Neighbour]:
        """The generated windows that look most like a training window, the nearest first, `most` at most."""
        known, shifts = self._against(real, train), self._shifts(generated)
        spectra = self._spectra(generated, known.whitening)
        distances = nearest(spectra, known.spectra, shifts)
        median = max(float(np.median(known.distances)), 1e-9)
        found = []
        for row in np.argsort(distances, kind="stable")[:most].tolist():
            there = int(nearest(known.spectra, spectra[:, [row]], shifts).argmin())
            alignment = align(spectra[:, row], known.spectra[:, there], shifts)
            found.append(Neighbour(row, there, float(distances[row]) / median, alignment))
        return found

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
        found = np.empty((whitening.shape[1], len(windows), whitening.shape[0]), np.complex64)
        for start in range(0, len(windows), 256):
            spectrum = np.fft.rfft(windows.signal[start : start + 256], axis=-1)[..., self._bins(windows)] * whitening
            norm = np.sqrt((np.abs(spectrum) ** 2).sum((1, 2), keepdims=True))
            found[:, start : start + 256] = (spectrum / np.maximum(norm, 1e-12)).transpose(2, 0, 1)
        return found


def _ratios(theirs: Distances, ours: Distances) -> dict[str, float]:
    median = max(float(np.median(theirs)), 1e-9)
    lowest = max(float(np.percentile(theirs, 1)), 1e-9)
    return {
        "memorisation": float(np.median(ours)) / median,
        "percentile_1": float(np.percentile(ours, 1)) / lowest,
        "near_copies": float((ours < 0.5 * median).mean()),
    }


def nearest(spectra: Spectrum, reference: Spectrum, max_shift: float) -> Distances:
    """Distance of every window to the nearest of the reference, moved, reversed and sign-flipped as suits it best.

    Args:
        spectra: Unit-norm one-sided spectra F without bin zero, (bins, n, channels).
        reference: The same of the reference windows, G, (bins, m, channels).
        max_shift: Largest shift as a share of the window's length.

    Returns:
        Distances (n,) between 0 and the square root of 2.
    """
    cosine, sine = _waves(len(spectra), max_shift)
    ours = np.ascontiguousarray(spectra.real), np.ascontiguousarray(spectra.imag)
    theirs = [np.ascontiguousarray(part.transpose(0, 2, 1)) for part in (reference.real, reference.imag)]
    best = np.zeros(spectra.shape[1])
    for row in range(0, spectra.shape[1], _ROWS):
        for column in range(0, reference.shape[1], _COLUMNS):
            (real, imaginary), (real_g, imaginary_g) = (
                [part[:, row : row + _ROWS] for part in ours],
                [part[..., column : column + _COLUMNS] for part in theirs],
            )
            # The correlation at lag k is the sum over f of Re(F conj G) cos(2 pi k f) - Im(F conj G) sin(2 pi k f),
            # with F G for conj G where the reference is reversed; -k changes the sign of the second term, a flipped
            # polarity that of both. The best of these is a sum of magnitudes.
            even, even_g = _transformed(cosine, real @ real_g), _transformed(cosine, imaginary @ imaginary_g)
            odd, odd_g = _transformed(sine, imaginary @ real_g), _transformed(sine, real @ imaginary_g)
            forwards = np.abs(even + even_g) + np.abs(odd - odd_g)
            backwards = np.abs(even - even_g) + np.abs(odd + odd_g)
            found = np.maximum(forwards.max(0), backwards.max(0)).max(1)
            best[row : row + _ROWS] = np.maximum(best[row : row + _ROWS], found)
    return np.asarray(np.sqrt(np.maximum(2 - 2 * best, 0.0)))


def _waves(bins: int, max_shift: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines of every bin at the lags from zero up to the largest: (lags, bins) each."""
    # Twice the critical rate: a copy that lies between two lags still correlates by more than .9.
    length = 4 * (bins + 1)
    lags = np.arange(min(length // 2, round(max_shift * length)) + 1)
    angle = 2 * np.pi * np.outer(lags, np.arange(1, bins + 1)) / length
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _transformed(waves: NDArray[np.float32], products: NDArray[np.float32]) -> NDArray[np.float32]:
    """(lags, bins) and (bins, n, m) -> (lags, n, m)."""
    bins, n, m = products.shape
    return np.asarray((waves @ products.reshape(bins, n * m)).reshape(len(waves), n, m))
