"""Surrogates keep second-order statistics and lose the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sd_core.judging.surrogates import SURROGATES, TITLES, gaussian, phase_randomised
from sd_core.task import SignalInfo, Windows
from sd_core.testing.metric import toy_windows


def cross_spectrum(windows: Windows) -> np.ndarray:
    spectrum = np.fft.rfft(windows.signal.astype(float), axis=-1)
    return np.asarray(np.einsum("nct,ndt->ntcd", spectrum, spectrum.conj()))


def kurtosis(windows: Windows) -> float:
    x = windows.signal.astype(float)
    x = x - x.mean(-1, keepdims=True)
    return float(((x**4).mean(-1) / (x**2).mean(-1) ** 2 - 3).mean())


def bursts(seed: int = 0) -> Windows:
    """Windows with heavy tails: each has one burst."""
    windows = toy_windows(seed)
    envelope = np.exp(-0.5 * ((np.arange(512) - 256) / 20) ** 2) * 20 + 1
    return replace(windows, signal=(windows.signal * envelope).astype(np.float32))


def test_phase_randomised_keeps_every_cross_spectrum() -> None:
    train = bursts()
    rows = np.array([3, 7])
    surrogates = phase_randomised(train, rows, seed=1)
    kept, original = cross_spectrum(surrogates), cross_spectrum(train)[rows]
    np.testing.assert_allclose(kept, original, atol=1e-4 * np.abs(original).max())
    assert np.abs(surrogates.signal - train.signal[rows]).mean() > train.signal.std() / 2


def test_gaussian_keeps_the_groups_spectrum_and_covariance() -> None:
    train = toy_windows(0, count=60)
    made = gaussian(train, np.arange(400), seed=1)
    wanted, got = cross_spectrum(train).mean(0), cross_spectrum(made).mean(0)
    power, made_power = np.einsum("tcc->t", wanted).real, np.einsum("tcc->t", got).real
    bins = slice(4, 120)
    assert np.abs(10 * np.log10(power[bins] / made_power[bins])).mean() < 1.5
    assert made_power[bins].sum() == pytest.approx(power[bins].sum(), rel=0.1)
    covariance = [np.einsum("nct,ndt->cd", w.signal, w.signal) / w.signal.size for w in (train, made)]
    np.testing.assert_allclose(covariance[1], covariance[0], atol=0.08 * np.abs(covariance[0]).max())


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_tails_are_lost(name: str) -> None:
    train = bursts()
    assert kurtosis(train) > 3
    assert abs(kurtosis(SURROGATES[name](train, np.arange(24), 0))) < 0.5


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_they_follow_from_the_seed(name: str) -> None:
    train, rows = toy_windows(0), np.arange(5)
    make = SURROGATES[name]
    np.testing.assert_array_equal(make(train, rows, 4).signal, make(train, rows, 4).signal)
    assert not np.array_equal(make(train, rows, 4).signal, make(train, rows, 5).signal)


@pytest.mark.parametrize("name", sorted(SURROGATES))
@pytest.mark.parametrize(("count", "channels", "samples"), [(1, 1, 64), (2, 6, 33), (3, 6, 4)])
def test_odd_windows(name: str, count: int, channels: int, samples: int) -> None:
    """Odd lengths, one electrode, fewer windows than electrodes."""
    signal = np.random.default_rng(0).standard_normal((count, channels, samples)).astype(np.float32)
    names = tuple(f"ch{i}" for i in range(channels))
    train = Windows(signal=signal, info=SignalInfo(channel_names=names, n_samples=samples, sfreq=125.0))
    made = SURROGATES[name](train, np.arange(count), 0)
    assert made.signal.shape == signal.shape
    assert made.signal.dtype == np.float32
    assert np.isfinite(made.signal).all()


def test_each_surrogate_has_a_title() -> None:
    assert set(TITLES) == set(SURROGATES)
