"""Copies are found, strangers are not accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sd_core.plugin import Windows
from sd_core.testing.metric import toy_windows
from sd_data.metrics.memorisation import Memorisation, nearest
from sd_data.metrics.options import MemorisationOptions

REAL, TRAIN = toy_windows(1, 20, n_samples=1024), toy_windows(3, 40, n_samples=1024)


def judged(generated: Windows, **options: float) -> dict[str, float]:
    return Memorisation(MemorisationOptions(**options))(REAL, generated, TRAIN)


def alarms(values: dict[str, float]) -> list[str]:
    scores = Memorisation(MemorisationOptions()).scores
    ringing = []
    for name, score in scores.items():
        assert score.alarm is not None
        beyond = values[name] < score.alarm if score.alarm < score.ideal else values[name] > score.alarm
        ringing += [name] * beyond
    return ringing


def test_strangers_ring_no_alarm() -> None:
    values = judged(toy_windows(2, 20, n_samples=1024))
    assert values["memorisation"] == pytest.approx(1, abs=0.05)
    assert values["near_copies"] == 0
    assert alarms(values) == []


def test_exact_copies_ring_every_alarm() -> None:
    values = judged(replace(TRAIN, signal=TRAIN.signal[:20].copy(), columns={}))
    assert values["memorisation"] == pytest.approx(0, abs=1e-2)
    assert values["near_copies"] == 1
    assert alarms(values) == ["memorisation", "percentile_1", "near_copies"]


@pytest.mark.parametrize("change", ["louder", "offset", "noisy", "moved", "upside", "flipped", "reversed"])
def test_disguised_copies_are_found(change: str) -> None:
    signal = TRAIN.signal[:20].copy()
    noise = np.random.default_rng(0).standard_normal(signal.shape).astype(np.float32)
    changed = {
        "louder": signal * 3,
        "offset": signal + 50,
        "noisy": signal + 0.3 * signal.std() * noise,
        "moved": np.roll(signal, 60, axis=-1),
        "upside": signal[::-1].copy(),
        "flipped": -signal,
        "reversed": np.roll(signal[..., ::-1], 60, axis=-1),
    }[change]
    assert alarms(judged(replace(TRAIN, signal=changed, columns={})))


def test_a_few_copies_among_many_are_found() -> None:
    generated = toy_windows(2, 40, n_samples=1024)
    signal = generated.signal.copy()
    signal[7] = TRAIN.signal[11]
    values = judged(replace(generated, signal=signal))
    assert values["near_copies"] == pytest.approx(1 / 40)
    assert "near_copies" in alarms(values)


def test_shifts_beyond_the_option_are_not_looked_for() -> None:
    moved = replace(TRAIN, signal=np.roll(TRAIN.signal[:20], 60, axis=-1), columns={})
    assert judged(moved)["memorisation"] < 0.4
    assert judged(moved, max_shift_s=0.1)["memorisation"] > 0.8


def test_the_frequency_limit_is_kept() -> None:
    """A copy of the slow part with another fast part is a copy below the limit only."""
    spectrum, other = (np.fft.rfft(x, axis=-1) for x in (TRAIN.signal[:20], toy_windows(9, 20, n_samples=1024).signal))
    spectrum[..., 82:] = other[..., 82:]  # from 10 Hz
    mixed = replace(TRAIN, signal=np.fft.irfft(spectrum, n=1024, axis=-1).astype(np.float32), columns={})
    assert judged(mixed, max_frequency=9.0)["memorisation"] < 0.05
    assert judged(mixed, max_frequency=40.0)["memorisation"] > 0.5


def test_another_training_set_is_another_reference() -> None:
    metric = Memorisation(MemorisationOptions())
    copies = replace(TRAIN, signal=TRAIN.signal[:20].copy(), columns={})
    assert metric(REAL, copies, TRAIN)["near_copies"] == 1
    assert metric(REAL, copies, toy_windows(8, 40, n_samples=1024))["near_copies"] == 0
    assert metric(REAL, copies, TRAIN)["near_copies"] == 1


def test_nearest_is_the_definition() -> None:
    """Against shifting in the time domain and correlating, for windows of unit norm."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 2, 16))
    a, b = (_unit(x) for x in (a, b))
    lags = range(-8, 9)
    # Lags of half a sample, by zero-padding the spectrum.
    fine = [np.fft.irfft(np.fft.rfft(x, axis=-1), n=32, axis=-1) * 2 for x in (a, b)]
    ways = [[sign * y[..., ::step] for sign in (1, -1) for step in (1, -1)] for y in fine[1]]
    correlation = np.array(
        [[max((x * np.roll(z, k, -1)).sum() / 2 for z in y for k in lags) for y in ways] for x in fine[0]]
    )
    expected = np.sqrt(2 - 2 * correlation.max(1))

    def spectra(x: np.ndarray) -> np.ndarray:
        one_sided = np.fft.rfft(x, axis=-1)[..., 1:8]
        norm = np.sqrt((np.abs(one_sided) ** 2).sum((1, 2), keepdims=True))
        return np.asarray((one_sided / norm).astype(np.complex64).transpose(2, 0, 1))

    np.testing.assert_allclose(nearest(spectra(a), spectra(b), 4 / 16), expected, rtol=1e-4)


def _unit(x: np.ndarray) -> np.ndarray:
    """Without power at zero and at Nyquist, of unit norm."""
    spectrum = np.fft.rfft(x, axis=-1)
    spectrum[..., [0, -1]] = 0
    cleaned = np.fft.irfft(spectrum, n=x.shape[-1], axis=-1)
    return np.asarray(cleaned / np.sqrt((cleaned**2).sum((1, 2), keepdims=True)))
