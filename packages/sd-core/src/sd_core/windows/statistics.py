"""Statistics of a split, gathered while its windows stream past."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RunningStatistics:
    """Per-channel moments of demeaned windows, in float64 and constant memory.

    Args:
        channels: Number of electrodes.
    """

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._powers = np.zeros((3, channels))  # sums of x^2, x^4, and of the windows' squared means
        self._peak = np.zeros(channels)

    def add(self, window: NDArray[np.float32]) -> None:
        """Take in one window (channels, samples)."""
        mean = window.mean(axis=1, dtype=np.float64)
        x = window - mean[:, None].astype(np.float32)
        np.maximum(self._peak, np.maximum(x.max(axis=1), -x.min(axis=1)), out=self._peak)
        np.square(x, out=x)
        self._powers[0] += x.mean(axis=1, dtype=np.float64)
        self._powers[1] += np.einsum("ct,ct->c", x, x, dtype=np.float64) / x.shape[1]
        self._powers[2] += mean**2
        self._count += 1

    def summary(self) -> dict[str, Any]:
        """Lists with one number per channel, in microvolts where they have a unit."""
        second, fourth, offset = self._powers / max(self._count, 1)
        excess = fourth / np.maximum(second, 1e-12) ** 2 - 3
        return {
            "windows": self._count,
            "standard_deviation_uv": _rounded(np.sqrt(second)),
            "offset_rms_uv": _rounded(np.sqrt(offset)),
            "peak_uv": _rounded(self._peak),
            "excess_kurtosis": _rounded(excess),
        }


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
