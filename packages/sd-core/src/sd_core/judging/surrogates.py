"""Surrogates: what second-order statistics alone can do.

A model that does not beat them has learned the spectrum and the covariance and nothing else.
Both are made from training windows, as the model is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sd_core.task import Windows

SMOOTHING_HZ = 0.25
"""Half-width over which the cross-spectrum is averaged (+-4 bins of a 16.4 s window)."""

_CHUNK = 256
"""Windows transformed at a time, to bound memory."""

Rows = NDArray[np.int64]

Surrogate = Callable[[Windows, Rows, int], Windows]
"""(training windows, rows of those that the floor takes, seed) -> as many surrogate windows."""


def phase_randomised(train: Windows, rows: Rows, seed: int) -> Windows:
    """Real windows with their phases replaced, the same random phase for all electrodes.

    Keeps every window's spectrum and cross-spectrum exactly and nothing beyond them (Prichard and
    Theiler 1994, equation 7).

    Args:
        train: Real windows.
        rows: Of the windows to start from.
        seed: Of the phases.
    """
    rng = np.random.default_rng([seed, 1])
    spectrum = np.fft.rfft(train.signal[rows], axis=-1)
    phase = rng.uniform(0, 2 * np.pi, (len(rows), 1, spectrum.shape[-1]))
    spectrum *= np.exp(1j * _keep_real(phase, train.info.n_samples))
    return _windows(np.fft.irfft(spectrum, n=train.info.n_samples, axis=-1), train)


def gaussian(train: Windows, rows: Rows, seed: int) -> Windows:
    """Stationary Gaussian noise with the mean cross-spectrum of all training windows.

    Keeps the group's spectrum and covariance; differences between windows are lost.

    Args:
        train: Windows whose cross-spectrum is estimated, smoothed over `SMOOTHING_HZ` either side.
        rows: As many surrogates as rows.
        seed: Of the noise.
    """
    rng = np.random.default_rng([seed, 2])
    root = _matrix_root(_smooth(_cross_spectrum(train), train))
    bins, channels = root.shape[:2]
    noise = rng.standard_normal((bins, channels, len(rows))) + 1j * rng.standard_normal((bins, channels, len(rows)))
    noise /= np.sqrt(2)
    # A real signal has real values at frequency zero and, for even lengths, at Nyquist: all power on the real axis.
    for edge in _real_bins(train.info.n_samples):
        noise[edge] = noise[edge].real * np.sqrt(2)
    signal = np.fft.irfft((root @ noise).transpose(2, 1, 0), n=train.info.n_samples, axis=-1)
    return _windows(signal, train)


SURROGATES: Mapping[str, Surrogate] = {"phase_randomised": phase_randomised, "gaussian": gaussian}
"""The shipped surrogates, by their name in metrics.json."""

TITLES: Mapping[str, str] = {"phase_randomised": "phase-randomised", "gaussian": "Gaussian"}
"""How the verdict and the report call them."""


def _real_bins(n_samples: int) -> list[int]:
    return [0, n_samples // 2] if n_samples % 2 == 0 else [0]


def _keep_real(phase: NDArray[np.float64], n_samples: int) -> NDArray[np.float64]:
    phase[..., _real_bins(n_samples)] = 0.0
    return phase


def _cross_spectrum(windows: Windows) -> NDArray[np.complex128]:
    """Mean over windows of F F^H: (bins, channels, channels)."""
    bins, channels = windows.info.n_samples // 2 + 1, windows.info.n_channels
    total = np.zeros((bins, channels, channels), dtype=np.complex128)
    for start in range(0, len(windows), _CHUNK):
        spectrum = np.fft.rfft(windows.signal[start : start + _CHUNK], axis=-1).transpose(2, 1, 0)
        total += spectrum @ spectrum.conj().transpose(0, 2, 1)
    return total / len(windows)


def _smooth(cross: NDArray[np.complex128], windows: Windows) -> NDArray[np.complex128]:
    """Moving average over frequency; it also keeps the matrices full-rank when windows are few."""
    half = max(1, round(SMOOTHING_HZ * windows.info.n_samples / windows.info.sfreq))
    half = min(half, max(1, len(cross) // 16))
    summed = np.concatenate([np.zeros_like(cross[:1]), np.cumsum(cross, axis=0)])
    low = np.maximum(np.arange(len(cross)) - half, 0)
    high = np.minimum(np.arange(len(cross)) + half + 1, len(cross))
    return np.asarray((summed[high] - summed[low]) / (high - low)[:, None, None])


def _matrix_root(cross: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """A with A A^H = cross, through eigenvalues because a rank-deficient matrix has no Cholesky factor."""
    values, vectors = np.linalg.eigh(cross)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def _windows(signal: NDArray[np.float64], like: Windows) -> Windows:
    return Windows(signal=signal.astype(np.float32), info=like.info)
