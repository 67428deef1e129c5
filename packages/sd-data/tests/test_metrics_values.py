"""Metrics have the values that they must have where those are known, and ignore what they must ignore."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sd_core.plugin import NoOptions, SignalInfo, Windows
from sd_core.testing.metric import toy_windows
from sd_data.metrics.amplitude import amplitude, autocorrelation, kurtosis
from sd_data.metrics.bands import alpha_peaks, bands, posterior, scalp
from sd_data.metrics.correlation import correlation
from sd_data.metrics.features import _FEATURES, features
from sd_data.metrics.mmd import mmd, mmd2
from sd_data.metrics.options import MmdOptions
from sd_data.metrics.space import CovarianceDistance, eigenspace, referenced
from sd_data.metrics.spectrum import band_power, log_spectral_distance

NO = NoOptions()
TRAIN = toy_windows(3)


def scaled(windows: Windows, factor: float) -> Windows:
    return replace(windows, signal=windows.signal * np.float32(factor))


def white(channels: int = 2, count: int = 8, samples: int = 2048, sfreq: float = 125.0, seed: int = 0) -> Windows:
    signal = np.random.default_rng(seed).standard_normal((count, channels, samples)).astype(np.float32)
    names = tuple(f"ch{i}" for i in range(channels))
    return Windows(signal=signal, info=SignalInfo(channel_names=names, n_samples=samples, sfreq=sfreq))


@pytest.mark.parametrize(
    ("make", "expected"),
    [(log_spectral_distance, 20 * np.log10(1.5)), (band_power, 2 * np.log(1.5)), (amplitude, np.log(1.5))],
)
def test_a_gain_of_one_and_a_half(make: Any, expected: float) -> None:
    """A gain moves every decibel, every log power and every log amplitude by a known constant."""
    windows = toy_windows(1)
    values = make(NO)(windows, scaled(windows, 1.5), TRAIN)
    assert next(iter(values.values())) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("make", [kurtosis, autocorrelation, correlation])
def test_what_does_not_see_a_gain(make: Any) -> None:
    windows = toy_windows(1)
    values = make(NO)(windows, scaled(windows, 1.5), TRAIN)
    np.testing.assert_allclose(list(values.values()), 0, atol=1e-3)


def test_bands_of_the_distance_are_those_that_changed() -> None:
    windows = toy_windows(1)
    spectrum = np.fft.rfft(windows.signal, axis=-1)
    frequency = np.fft.rfftfreq(512, 1 / 125)
    spectrum[..., (frequency >= 15) & (frequency < 28)] *= 2
    louder = replace(windows, signal=np.fft.irfft(spectrum, n=512, axis=-1).astype(np.float32))
    values = log_spectral_distance(NO)(windows, louder, TRAIN)
    assert values["beta"] > 4
    assert max(values["delta"], values["theta"]) < 0.3


def test_covariance_distance_of_a_gain_is_known() -> None:
    """Every generalised eigenvalue is 4: sqrt(k) ln 4 in a k-dimensional space."""
    windows = toy_windows(1)
    rank = eigenspace(referenced(features(TRAIN).covariance, list(range(6))).mean(0)).shape[1]
    assert rank == 5
    value = CovarianceDistance(NO)(windows, scaled(windows, 2), TRAIN)["covariance"]
    assert value == pytest.approx(np.sqrt(rank) * np.log(4), rel=1e-3)


def test_covariance_ignores_reference_and_ears() -> None:
    """A common signal on all scalp electrodes is what the average reference takes away."""
    windows = toy_windows(1)
    common = 30 * np.random.default_rng(0).standard_normal((len(windows), 1, 512)).astype(np.float32)
    moved = replace(windows, signal=windows.signal + common)
    assert CovarianceDistance(NO)(windows, moved, TRAIN)["covariance"] == pytest.approx(0, abs=1e-2)
    assert scalp(("Fz", "EEG A2-A1", "A1", "M2", "Cz", "T3-Ref")) == [0, 4, 5]


def test_one_electrode_has_no_space() -> None:
    one = [toy_windows(seed, n_channels=1) for seed in (1, 2, 3)]
    assert CovarianceDistance(NO)(*one) == {}
    assert correlation(NO)(*one) == {}


def test_correlation_error_of_independent_electrodes() -> None:
    """Against perfectly correlated electrodes (norm 2 for two of them) the error is sqrt(2) / 2."""
    independent = white()
    together = replace(independent, signal=np.repeat(independent.signal[:, :1], 2, axis=1))
    value = correlation(NO)(together, independent, TRAIN)["correlation"]
    assert value == pytest.approx(np.sqrt(2) / 2, rel=0.02)


def test_kurtosis_distance_of_laplacian_noise() -> None:
    """Excess kurtosis 3 against 0."""
    heavy = replace(white(), signal=np.random.default_rng(1).laplace(size=(8, 2, 2048)).astype(np.float32))
    assert kurtosis(NO)(white(), heavy, TRAIN)["kurtosis"] == pytest.approx(3, abs=0.5)


def test_alpha_height_is_read_above_the_line() -> None:
    frequency = np.arange(0, 62, 0.5)
    background = -20 * np.log10(np.maximum(frequency, 0.5))
    bump = 7 * np.exp(-0.5 * ((frequency - 10) / 0.8) ** 2)
    peaks = alpha_peaks((background + bump)[None], frequency)
    assert peaks is not None
    assert peaks.height[0] == pytest.approx(7, abs=0.1)
    assert peaks.frequency[0] == 10
    assert peaks.exponent[0] == pytest.approx(2, abs=0.02)
    assert alpha_peaks(background[None, :20], frequency[:20]) is None


def test_bands_end_at_nyquist() -> None:
    assert list(bands(np.arange(0, 62.5, 0.5))) == ["delta", "theta", "alpha", "beta", "gamma"]
    cut = bands(np.arange(0, 20.5, 0.5))
    assert list(cut) == ["delta", "theta", "alpha", "beta"]
    assert band_power(NO)(*(white(sfreq=1.0, seed=s) for s in range(3))) == {}
    assert log_spectral_distance(NO)(*(white(sfreq=1.0, seed=s) for s in range(3)))["log_spectral_distance"] < 1


@pytest.mark.parametrize("sfreq", [100.0, 250.0, 512.0])
def test_the_rate_does_not_move_the_bands(sfreq: float) -> None:
    """A rhythm of 10 Hz is alpha at any rate."""
    quiet = white(samples=1024, sfreq=sfreq)
    rhythm = 3 * np.sin(2 * np.pi * 10 * np.arange(1024) / sfreq).astype(np.float32)
    values = band_power(NO)(quiet, replace(quiet, signal=quiet.signal + rhythm), quiet)
    assert values["alpha"] > 1
    assert values["beta"] < 0.3


def test_posterior_electrodes_go_by_name() -> None:
    assert posterior(("Fz", "EEG O1", "pz")) == [1, 2]
    assert posterior(("x", "y")) == [0, 1]


def test_mmd_is_zero_in_the_mean_for_one_distribution() -> None:
    rng = np.random.default_rng(0)
    values = [mmd2(rng.standard_normal((40, 5)), rng.standard_normal((40, 5))) for _ in range(50)]
    assert abs(np.mean(values)) < 2e-3
    assert mmd2(rng.standard_normal((40, 5)), rng.standard_normal((40, 5)) + 1.5) > 0.1


def test_mmd_with_fewer_components_is_another_number() -> None:
    windows = toy_windows(1), toy_windows(2), TRAIN
    assert mmd(MmdOptions(components=2))(*windows) != mmd(MmdOptions(components=12))(*windows)


def test_features_are_computed_once_and_forgotten() -> None:
    windows = toy_windows(5)
    found = features(windows)
    assert features(windows) is found
    assert found.psd is features(windows).psd
    key = id(windows)
    assert key in _FEATURES
    del windows
    gc.collect()
    assert key not in _FEATURES


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = features(toy_windows(1)).psd
    monkeypatch.setattr("sd_data.metrics.features._CHUNK", 5)
    np.testing.assert_array_equal(features(toy_windows(1)).psd, whole)
