"""Amplitude and time: kurtosis, standard deviation, autocorrelation (EEG.md 3.4)."""

from __future__ import annotations

import numpy as np

from sd_core.plugin import NoOptions, Score
from sd_data.metrics.comparison import Comparison, wasserstein
from sd_data.metrics.features import Features


def kurtosis(options: NoOptions) -> Comparison:
    """Wasserstein-1 distance of excess kurtosis over windows and electrodes.

    The one score here that no stationary Gaussian process can win: bursts and waxing rhythms make tails.
    """
    del options
    return Comparison(
        {"kurtosis": Score("Kurtosis")},
        lambda real, generated: {"kurtosis": wasserstein(real.kurtosis, generated.kurtosis)},
    )


def amplitude(options: NoOptions) -> Comparison:
    """Wasserstein-1 distance of the log of each window's mean standard deviation: .1 is about ten per cent."""
    del options

    def compare(real: Features, generated: Features) -> dict[str, float]:
        theirs, ours = (np.log(found.deviation.mean(1)) for found in (real, generated))
        return {"amplitude": wasserstein(theirs, ours)}

    return Comparison({"amplitude": Score("Amplitude", "ln")}, compare)


def autocorrelation(options: NoOptions) -> Comparison:
    """Mean absolute difference of mean autocorrelation up to one second, over lags and electrodes."""
    del options

    def compare(real: Features, generated: Features) -> dict[str, float]:
        return {"autocorrelation": float(np.abs(generated.autocorrelation - real.autocorrelation).mean())}

    return Comparison({"autocorrelation": Score("Autocorrelation")}, compare)
