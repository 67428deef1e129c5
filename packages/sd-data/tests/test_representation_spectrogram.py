"""The spectrograms: the transform, the planes, the layouts, the clip."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from sd_core.plugin import SdError, SignalInfo
from sd_core.testing.representation import relative_error
from sd_core.testing.signals import MemoryWindows, eeg_like
from sd_data.representations.db import DbOnly
from sd_data.representations.iq import DbIq
from sd_data.representations.options import DbOnlyOptions, SpectrogramOptions
from sd_data.representations.polar import PHASE, DbPolar
from sd_data.representations.spectrogram import CLIP, FLOOR_SD, Spectrogram
from sd_data.representations.stft import ShortTimeFourier

INFO = SignalInfo(channel_names=("Fz", "Cz", "Pz"), n_samples=2048, sfreq=125.0)
WINDOWS = eeg_like(12, INFO)
SIGNAL = torch.from_numpy(WINDOWS.array)
KINDS = [DbIq, DbPolar]


def fitted(kind: type[Spectrogram], windows: MemoryWindows = WINDOWS, **options: object) -> Spectrogram:
    chosen = (DbOnlyOptions if kind is DbOnly else SpectrogramOptions).model_validate(options)
    representation = kind(chosen, windows.info)
    representation.fit(windows)
    return representation


def test_transform_equals_scipy() -> None:
    oracle = ShortTimeFFT(hann(128, sym=False), hop=32, fs=125.0, fft_mode="onesided", phase_shift=None)
    expected = oracle.stft(WINDOWS.array[0].astype(np.float64), p0=0, p1=64)[:, :64] / np.sqrt((oracle.win**2).sum())
    got = ShortTimeFourier(INFO, 128, 32).analyse(SIGNAL[0]).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("n_fft", "hop"), [(128, 32), (128, 16), (64, 16), (256, 64)])
def test_synthesis_inverts_analysis(n_fft: int, hop: int) -> None:
    transform = ShortTimeFourier(INFO, n_fft, hop)
    spectrum = transform.analyse(SIGNAL)
    once, twice = (relative_error(inverse(spectrum), SIGNAL) for inverse in (transform.synthesise, transform.invert))
    assert float(once.max()) < 5e-3
    assert float(twice.max()) < 2e-3
    assert (twice < once).all()


def test_synthesis_restores_what_the_nyquist_row_took() -> None:
    """A pop reaches every frequency; a row of zeros alone leaves 29 dB here."""
    pop = torch.zeros(1, 2048)
    pop[0, 1000] = 100.0
    transform = ShortTimeFourier(INFO, 128, 32)
    restored = transform.synthesise(transform.analyse(pop))
    assert float((restored - pop).norm() / pop.norm()) < 2e-3


@pytest.mark.parametrize(("n_samples", "n_fft", "hop"), [(2000, 128, 32), (96, 128, 32), (2048, 128, 64)])
def test_grids_that_do_not_fit_are_refused(n_samples: int, n_fft: int, hop: int) -> None:
    info = SignalInfo(channel_names=("Fz",), n_samples=n_samples, sfreq=125.0)
    with pytest.raises(SdError, match=rf"n_fft = {n_fft}"):
        DbIq(SpectrogramOptions(n_fft=n_fft, hop=hop), info)


def test_levels_are_standardised_per_frequency_and_clipped() -> None:
    representation = fitted(DbOnly)
    x = representation.encode(SIGNAL)
    torch.testing.assert_close(x.mean((0, 1, 3)), torch.zeros(64), rtol=0, atol=0.05)
    loud = representation.level_sd.flatten() > FLOOR_SD
    torch.testing.assert_close(x.std((0, 1, 3))[loud], torch.ones(int(loud.sum())), rtol=0, atol=0.05)
    assert float(representation.encode(1e6 * SIGNAL).max()) == CLIP


@pytest.mark.parametrize("kind", [DbOnly, *KINDS])
def test_electrode_examples_are_slices_of_the_stack(kind: type[Spectrogram]) -> None:
    stack, electrode = fitted(kind), fitted(kind, layout="electrode")
    assert (stack.parts, electrode.parts) == (1, 3)
    assert stack.shape.channels == 3 * electrode.shape.channels
    whole, examples = stack.encode(SIGNAL), electrode.encode(SIGNAL)
    planes = kind.planes
    for e in range(3):
        assert torch.equal(whole[:, e * planes : (e + 1) * planes], examples[e::3])
        part = torch.full((len(SIGNAL),), e)
        torch.testing.assert_close(electrode.encode(SIGNAL, part), examples[e::3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_magnitudes_survive_the_clip_of_the_level(kind: type[Spectrogram]) -> None:
    """A window 300 times as loud stands at the clip almost everywhere and still comes back."""
    representation = fitted(kind)
    x = representation.encode(300 * SIGNAL)
    assert float((x[:, :: kind.planes].abs() == CLIP).float().mean()) > 0.5
    assert float(relative_error(representation.decode(x), 300 * SIGNAL).max()) < 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_magnitude_comes_from_the_level_inside_the_clip(kind: type[Spectrogram]) -> None:
    """Spoiling the second copy of the magnitude changes nothing where the level stands."""
    representation = fitted(kind)
    x = representation.encode(SIGNAL)
    spoilt = x.clone()
    if kind is DbIq:
        spoilt[:, 1::3] *= 1.5
        spoilt[:, 2::3] *= 1.5
    else:
        spoilt[:, 1::3] += 1.0
    inside = (x[:, ::3].abs() < CLIP - 0.01).to(torch.float32)
    before, after = representation.spectrum(x), representation.spectrum(spoilt)
    assert float(((after - before).abs() * inside).max()) < 1e-3 * float(before.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_frequency_zero_is_real(kind: type[Spectrogram]) -> None:
    representation = fitted(kind)
    noise = torch.randn(2, *representation.shape, generator=torch.Generator().manual_seed(0))
    assert float(representation.spectrum(noise)[..., 0, :].imag.abs().max()) < 1e-4
    x = representation.encode(SIGNAL)
    if kind is DbIq:
        assert float(x[:, 2::3, 0].abs().max()) < 1e-4
    else:
        turns = x[:, 2::3, 0] / (PHASE * math.pi)
        assert set(turns.round(decimals=3).unique().tolist()) <= {0.0, 1.0}


def test_a_steady_rhythm_has_a_constant_phase() -> None:
    time = torch.arange(2048) / 125.0
    rhythm = 20 * torch.cos(2 * math.pi * (10 * 125 / 128) * time + 1.0)
    x = fitted(DbPolar).encode(rhythm.expand(1, 3, -1))
    psi = x[0, 2, 10, 4:-4] / PHASE
    assert float(psi.std()) < 0.01


def test_i_and_q_have_unit_variance_and_lighter_tails() -> None:
    x = fitted(DbIq).encode(SIGNAL)
    i, q = x[:, 1::3], x[:, 2::3]
    assert float((i.square() + q.square()).mean() / 2) == pytest.approx(1, abs=0.1)
    band = i[:, :, 1:46]
    assert float(band.pow(4).mean() / band.square().mean() ** 2) < 2.5  # 3 for these Gaussian windows without it


@pytest.mark.parametrize("layout", ["stack", "electrode"])
def test_consistency_tells_spectra_of_signals_from_others(layout: str) -> None:
    representation = fitted(DbIq, layout=layout)
    real = representation.encode(SIGNAL)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    assert representation.consistency(real).shape == (len(SIGNAL),)
    assert float(representation.consistency(real).max()) < 0.01
    assert float(representation.consistency(noise).min()) > 0.3


def test_griffin_lim_finds_a_signal_with_the_magnitudes() -> None:
    """More iterations come nearer, and the same window always becomes the same signal."""
    few, many = fitted(DbOnly, griffin_lim_iterations=2), fitted(DbOnly, griffin_lim_iterations=32)
    x = many.encode(SIGNAL)
    assert float(many.consistency(x).mean()) < 0.8 * float(few.consistency(x).mean())
    assert float(many.consistency(x).max()) < 0.3
    torch.testing.assert_close(many.decode(x[3:4]), many.decode(x)[3:4], rtol=1e-3, atol=1e-2)
