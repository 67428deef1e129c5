"""Coherence, topography and direction of time have the values that they must have where those are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sd_core.plugin import NoOptions, SignalInfo, Windows
from sd_core.testing.metric import toy_windows
from sd_data.metrics.coherence import coherence, topography
from sd_data.metrics.direction import time_direction
from sd_data.metrics.features import features

NO = NoOptions()
TRAIN = toy_windows(3)


def windows(signal: NDArray[np.float64]) -> Windows:
    names = tuple(f"ch{i}" for i in range(signal.shape[1]))
    return Windows(
        signal=signal.astype(np.float32),
        info=SignalInfo(channel_names=names, n_samples=signal.shape[2], sfreq=125.0),
    )


def noise(count: int = 24, channels: int = 2, seed: int = 0) -> NDArray[np.float64]:
    return np.asarray(10 * np.random.default_rng(seed).standard_normal((count, channels, 2048)))


def backwards(given: Windows) -> Windows:
    return replace(given, signal=given.signal[..., ::-1].copy())


def test_coherence_is_one_for_one_source_and_small_for_two() -> None:
    apart = noise()
    together = windows(np.repeat(apart[:, :1], 2, axis=1))
    np.testing.assert_allclose(features(together).coupling.coherence, 1, atol=1e-6)
    # 15 half-overlapping segments leave a bias of about one over ten.
    assert features(windows(apart)).coupling.coherence[:, 0, 1].max() < 0.13
    values = coherence(NO)(together, windows(apart), TRAIN)
    assert values["coherence"] == pytest.approx(0.9, abs=0.03)
    assert coherence(NO)(together, together, TRAIN)["coherence"] == 0


def test_coherence_is_seen_in_the_band_where_it_is() -> None:
    apart = noise(channels=3)
    spectrum = np.fft.rfft(apart, axis=-1)
    frequency = np.fft.rfftfreq(2048, 1 / 125)
    inside = (frequency >= 8) & (frequency < 13)
    spectrum[:, 1, inside] = spectrum[:, 0, inside]
    values = coherence(NO)(windows(apart), windows(np.fft.irfft(spectrum, n=2048, axis=-1)), TRAIN)
    assert values["alpha"] > 0.2  # one pair of three
    assert max(values["delta"], values["beta"], values["gamma"]) < 0.05


def test_coherence_of_a_gain_is_the_same() -> None:
    given = toy_windows(1)
    assert coherence(NO)(given, replace(given, signal=3 * given.signal), TRAIN)["coherence"] < 1e-5


def test_a_delayed_electrode_lags() -> None:
    """A rhythm of 10 Hz a quarter period late: imaginary coherency of magnitude one, of the other sign backwards."""
    time = np.arange(2048) / 125
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (8, 1))
    first, second = (np.sin(2 * np.pi * 10 * time + phase - late) for late in (0, np.pi / 2))
    late = windows(10 * np.stack([first, second], axis=1) + 1e-3 * noise(8))
    alpha = features(late).coupling.names.index("alpha")
    assert features(late).coupling.lead[alpha, 0, 1] == pytest.approx(1, abs=0.15)
    assert features(backwards(late)).coupling.lead[alpha, 0, 1] == pytest.approx(-1, abs=0.15)
    assert time_direction(NO)(late, backwards(late), TRAIN)["lead"] > 0.2


def test_a_sawtooth_knows_where_time_goes() -> None:
    """Slow rises and sudden falls: the derivative has a long tail below; a sum of sines has none."""
    saw = windows(noise(8, 1) * 0.1 + 40 * (np.arange(2048) % 50) / 50)
    assert features(saw).derivative_skewness.max() < -5
    assert features(backwards(saw)).derivative_skewness.min() > 5
    assert time_direction(NO)(saw, backwards(saw), TRAIN)["skewness"] > 10
    assert abs(features(windows(noise(8, 1))).derivative_skewness.mean()) < 0.05


def test_topography_of_a_shuffled_head() -> None:
    loud = noise(channels=6) * np.array([1, 2, 4, 8, 16, 32])[:, None]
    given = windows(loud)
    assert topography(NO)(given, given, TRAIN)["topography"] == pytest.approx(1)
    assert topography(NO)(given, windows(5 * loud), TRAIN)["topography"] == pytest.approx(1)
    assert topography(NO)(given, windows(loud[:, ::-1]), TRAIN)["topography"] == pytest.approx(-1, abs=0.05)


def test_topography_needs_a_map() -> None:
    assert topography(NO)(windows(noise()), windows(noise(seed=1)), TRAIN) == {}
    flat = windows(np.zeros((4, 6, 512)))
    assert topography(NO)(toy_windows(1), flat, TRAIN) == {}


def test_series_far_from_eeg_have_no_bands() -> None:
    info = SignalInfo(channel_names=("open", "close", "volume"), n_samples=24, sfreq=1.0)
    stocks = [Windows(signal=noise(12, 3, seed)[..., :24].astype(np.float32), info=info) for seed in range(3)]
    assert coherence(NO)(*stocks) == {}
    assert topography(NO)(*stocks) == {}
    assert list(time_direction(NO)(*stocks)) == ["skewness"]
