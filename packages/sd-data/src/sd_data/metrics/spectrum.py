"""Spectra: log-spectral distance, band power."""

from __future__ import annotations

import numpy as np

from sd_core.plugin import NoOptions, Score
from sd_data.metrics.bands import BANDS, bands, whole
from sd_data.metrics.comparison import Comparison, wasserstein
from sd_data.metrics.features import Features


def log_spectral_distance(options: NoOptions) -> Comparison:
    """Root mean square difference of mean log spectra over 1-45 Hz, averaged over electrodes (EEG.md 3.1)."""
    del options
    parts = {band: Score(f"Log-spectral distance, {band}", "dB", detail=True) for band in BANDS}
    return Comparison({"log_spectral_distance": Score("Log-spectral distance", "dB"), **parts}, _spectral)


def band_power(options: NoOptions) -> Comparison:
    """Wasserstein-1 distance of log band power over windows, averaged over electrodes and bands (EEG.md 3.1)."""
    del options
    parts = {band: Score(f"Band power, {band}", "ln", detail=True) for band in BANDS}
    return Comparison({"band_power": Score("Band power", "ln"), **parts}, _powers)


def _spectral(real: Features, generated: Features) -> dict[str, float]:
    difference = generated.decibels.mean(0) - real.decibels.mean(0)
    ranges = {"log_spectral_distance": whole(real.frequency), **bands(real.frequency)}
    return {name: float(np.sqrt((difference[:, bins] ** 2).mean(-1)).mean()) for name, bins in ranges.items()}


def _powers(real: Features, generated: Features) -> dict[str, float]:
    theirs, ours = real.band_power, generated.band_power
    parts = {
        band: float(np.mean([wasserstein(a, b) for a, b in zip(theirs[band].T, ours[band].T, strict=True)]))
        for band in theirs
    }
    return {"band_power": float(np.mean(list(parts.values()))), **parts} if parts else {}
