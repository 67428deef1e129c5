"""What the metrics look at, computed once per set of windows and shared between them and their resamples."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch
from scipy.stats import kurtosis, skew

from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.bands import Alpha, alpha_peaks, bands, posterior
from sd_data.metrics.coupling import Coupling, coupled, frequencies

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


Number = TypeVar("Number", np.float32, np.float64)


def per_window(compute: Callable[[Features], NDArray[Number]]) -> cached_property[NDArray[Number]]:
    """A statistic with a row per window: of some rows of a set, the set's own at these rows."""

    def found(self: Features) -> NDArray[Number]:
        if self.origin is None:
            return compute(self)
        whole, rows = self.origin
        result: NDArray[Number] = getattr(whole, compute.__name__)[rows]
        return result

    found.__doc__ = compute.__doc__
    return cached_property(found)


class Features:
    """Lazy statistics of windows (n, channels, samples) in microvolts, each demeaned first.

    `features(windows)[rows]` has the statistics of these rows alone, and computes nothing about them again.
    """

    def __init__(
        self, signal: NDArray[np.float32], info: SignalInfo, origin: tuple[Features, NDArray[np.int64]] | None = None
    ) -> None:
        self._signal = signal
        self.info = info
        self.origin = origin

    def __getitem__(self, rows: NDArray[np.int64]) -> Features:
        """The features of some of the windows."""
        return Features(self._signal, self.info, (self, rows))

    def __len__(self) -> int:
        return len(self._signal) if self.origin is None else len(self.origin[1])

    @cached_property
    def frequency(self) -> Array:
        """Of the Welch bins, in Hz: (bins,)."""
        return np.asarray(np.fft.rfftfreq(self._segment, 1 / self.info.sfreq))

    @per_window
    def psd(self) -> Array:
        """Power density by Welch's method, uV^2/Hz: (n, channels, bins)."""
        return self._map(lambda x: welch(x, self.info.sfreq, nperseg=self._segment, axis=-1)[1])

    @per_window
    def decibels(self) -> Array:
        """Log power density, dB: (n, channels, bins)."""
        return np.asarray(10 * np.log10(self.psd + POWER_FLOOR))

    @cached_property
    def band_power(self) -> dict[str, Array]:
        """Natural logarithm of the mean power density of each band: name -> (n, channels)."""
        return {name: self._log_bands[..., place] for place, name in enumerate(bands(self.frequency))}

    @per_window
    def covariance(self) -> Array:
        """Per window: (n, channels, channels), uV^2."""
        return self._map(lambda x: x @ x.transpose(0, 2, 1) / x.shape[-1])

    @per_window
    def correlation(self) -> Array:
        """Per window: (n, channels, channels)."""
        return np.asarray(self.covariance / self.deviation[:, :, None] / self.deviation[:, None, :])

    @per_window
    def deviation(self) -> Array:
        """Standard deviation, uV: (n, channels)."""
        return np.asarray(np.sqrt(np.maximum(np.einsum("nii->ni", self.covariance), POWER_FLOOR)))

    @per_window
    def kurtosis(self) -> Array:
        """Excess kurtosis over time (0 for a Gaussian): (n, channels)."""
        found: Array = self._map(lambda x: kurtosis(x, axis=-1))
        return np.nan_to_num(found)

    @per_window
    def derivative_skewness(self) -> Array:
        """Skewness over time of the difference of successive samples: (n, channels)."""
        found: Array = self._map(lambda x: skew(np.diff(x, axis=-1), axis=-1))
        return np.nan_to_num(found)

    @cached_property
    def coupling(self) -> Coupling:
        """Coherence and lead of electrodes in each band, means over windows."""
        frequency = frequencies(self.info.n_samples, self.info.sfreq, self._segment)
        mean = self._coupled.mean(0, dtype=np.float64)
        return Coupling(names=tuple(bands(frequency)), coherence=mean[0], lead=mean[1])

    @cached_property
    def autocorrelation(self) -> Array:
        """Mean over windows, lags 0 to 1 s: (channels, lags)."""
        return np.asarray(self._lagged.mean(0, dtype=np.float64))

    @cached_property
    def alpha(self) -> Alpha | None:
        """The alpha peak of each window over posterior electrodes; None where the spectrum ends below it."""
        if self.origin is not None:
            whole, rows = self.origin
            return None if whole.alpha is None else whole.alpha[rows]
        spectrum = self.decibels[:, posterior(self.info.channel_names)].mean(1)
        return alpha_peaks(spectrum, self.frequency)

    @per_window
    def _log_bands(self) -> Array:
        """(n, channels, bands)."""
        means = [self.psd[..., inside].mean(-1) for inside in bands(self.frequency).values()]
        return np.asarray(np.log(np.stack(means, -1) + POWER_FLOOR)) if means else np.zeros((*self.psd.shape[:2], 0))

    @per_window
    def _coupled(self) -> NDArray[np.float32]:
        """(n, 2, bands, channels, channels)."""
        return self._map(lambda x: coupled(x, self.info.sfreq, self._segment).astype(np.float32))

    @per_window
    def _lagged(self) -> NDArray[np.float32]:
        """(n, channels, lags)."""
        n_samples = self.info.n_samples
        lags = min(n_samples, round(self.info.sfreq) + 1)

        def normalised(x: Array) -> NDArray[np.float32]:
            spectrum = np.fft.rfft(x, n=2 * n_samples, axis=-1)
            lagged = np.fft.irfft(np.abs(spectrum) ** 2, axis=-1)[..., :lags]
            return np.asarray(lagged / np.maximum(lagged[..., :1], POWER_FLOOR), dtype=np.float32)

        return self._map(normalised)

    @property
    def _segment(self) -> int:
        return max(2, min(self.info.n_samples, round(WELCH_S * self.info.sfreq)))

    def _map(self, function: Callable[[Array], NDArray[Number]]) -> NDArray[Number]:
        """Apply to demeaned windows in double precision, some at a time."""
        parts = []
        for start in range(0, len(self), _CHUNK):
            x = self._signal[start : start + _CHUNK].astype(np.float64)
            parts.append(function(x - x.mean(-1, keepdims=True)))
        return np.concatenate(parts)
