"""What the metrics look at, computed once per set of windows and shared between them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch
from scipy.stats import kurtosis, skew

from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.bands import Alpha, alpha_peaks, bands, posterior
from sd_data.metrics.coupling import Coupling, frequencies, summed

Array = NDArray[np.float64]

WELCH_S = 2.048
"""Length of a Welch segment in seconds: 256 samples at 125 Hz, half overlapping."""
POWER_FLOOR = 1e-6
"""Added to a power density (uV^2/Hz) before its logarithm."""
_CHUNK = 128
"""Windows in double precision at a time, to bound memory."""

_FEATURES: dict[int, Features] = {}


def features(windows: Windows) -> Features:
    """The features of these windows; asked twice for the same object, the same features.

    They are forgotten when the windows are, so the cache never outlives an evaluation.
    """
    key = id(windows)
    if key not in _FEATURES:
        _FEATURES[key] = Features(windows.signal, windows.info)
        weakref.finalize(windows, _FEATURES.pop, key, None)
    return _FEATURES[key]


class Features:
    """Lazy statistics of windows (n, channels, samples) in microvolts, each demeaned first."""

    def __init__(self, signal: NDArray[np.float32], info: SignalInfo) -> None:
        self.signal = signal
        self.info = info

    @cached_property
    def frequency(self) -> Array:
        """Of the Welch bins, in Hz: (bins,)."""
        return np.asarray(np.fft.rfftfreq(self._segment, 1 / self.info.sfreq))

    @cached_property
    def psd(self) -> Array:
        """Power density by Welch's method, uV^2/Hz: (n, channels, bins)."""
        return self._map(lambda x: welch(x, self.info.sfreq, nperseg=self._segment, axis=-1)[1])

    @cached_property
    def decibels(self) -> Array:
        """Log power density, dB: (n, channels, bins)."""
        return np.asarray(10 * np.log10(self.psd + POWER_FLOOR))

    @cached_property
    def band_power(self) -> dict[str, Array]:
        """Natural logarithm of the mean power density of each band: name -> (n, channels)."""
        return {
            name: np.log(self.psd[..., inside].mean(-1) + POWER_FLOOR) for name, inside in bands(self.frequency).items()
        }

    @cached_property
    def covariance(self) -> Array:
        """Per window: (n, channels, channels), uV^2."""
        return self._map(lambda x: x @ x.transpose(0, 2, 1) / x.shape[-1])

    @cached_property
    def correlation(self) -> Array:
        """Per window: (n, channels, channels)."""
        deviation = np.sqrt(np.maximum(np.einsum("nii->ni", self.covariance), POWER_FLOOR))
        return np.asarray(self.covariance / deviation[:, :, None] / deviation[:, None, :])

    @cached_property
    def deviation(self) -> Array:
        """Standard deviation, uV: (n, channels)."""
        return np.asarray(np.sqrt(np.maximum(np.einsum("nii->ni", self.covariance), POWER_FLOOR)))

    @cached_property
    def kurtosis(self) -> Array:
        """Excess kurtosis over time (0 for a Gaussian): (n, channels)."""
        return np.nan_to_num(self._map(lambda x: kurtosis(x, axis=-1)))

    @cached_property
    def derivative_skewness(self) -> Array:
        """Skewness over time of the difference of successive samples: (n, channels)."""
        return np.nan_to_num(self._map(lambda x: skew(np.diff(x, axis=-1), axis=-1)))

    @cached_property
    def coupling(self) -> Coupling:
        """Coherence and lead of electrodes in each band, means over windows."""
        total = self._map(lambda x: summed(x, self.info.sfreq, self._segment)[None]).sum(0)
        frequency = frequencies(self.info.n_samples, self.info.sfreq, self._segment)
        mean = total / len(self.signal)
        return Coupling(names=tuple(bands(frequency)), coherence=mean[0], lead=mean[1])

    @cached_property
    def autocorrelation(self) -> Array:
        """Mean over windows, lags 0 to 1 s: (channels, lags)."""
        n_samples = self.info.n_samples
        lags = min(n_samples, round(self.info.sfreq) + 1)

        def normalised(x: Array) -> Array:
            spectrum = np.fft.rfft(x, n=2 * n_samples, axis=-1)
            lagged = np.fft.irfft(np.abs(spectrum) ** 2, axis=-1)[..., :lags]
            return np.asarray(lagged / np.maximum(lagged[..., :1], POWER_FLOOR))

        return np.asarray(self._map(normalised).mean(0))

    @cached_property
    def alpha(self) -> Alpha | None:
        """The alpha peak of each window over posterior electrodes; None where the spectrum ends below it."""
        spectrum = self.decibels[:, posterior(self.info.channel_names)].mean(1)
        return alpha_peaks(spectrum, self.frequency)

    @property
    def _segment(self) -> int:
        return max(2, min(self.info.n_samples, round(WELCH_S * self.info.sfreq)))

    def _map(self, function: Callable[[Array], Array]) -> Array:
        """Apply to demeaned windows in double precision, some at a time."""
        parts = []
        for start in range(0, len(self.signal), _CHUNK):
            x = self.signal[start : start + _CHUNK].astype(np.float64)
            parts.append(function(x - x.mean(-1, keepdims=True)))
        return np.concatenate(parts)
