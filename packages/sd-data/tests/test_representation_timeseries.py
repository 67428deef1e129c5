"""The waveform: pre-emphasis and its inverse, statistics, whitening, clipping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.signal import lfilter

from sd_core.plugin import SdError, SignalInfo
from sd_core.testing.representation import relative_error
from sd_core.testing.signals import MemoryWindows, eeg_like
from sd_data.representations.options import TimeseriesOptions
from sd_data.representations.preemphasis import deemphasise, emphasise
from sd_data.representations.timeseries import FLOOR, TimeSeries

INFO = SignalInfo(channel_names=("Fz", "Cz", "Pz", "O1", "O2"), n_samples=512, sfreq=125.0)


def fitted(windows: MemoryWindows, **options: float) -> TimeSeries:
    representation = TimeSeries(TimeseriesOptions.model_validate(options), windows.info)
    representation.fit(windows)
    return representation


@pytest.mark.parametrize("amount", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("n_samples", [1, 100, 128, 2048, 2049])
def test_deemphasis_is_the_recursive_filter(amount: float, n_samples: int) -> None:
    y = np.random.default_rng(0).normal(size=(2, 3, n_samples))
    first = y.copy()
    first[..., 0] /= np.sqrt(1 - amount**2)
    expected = lfilter([1.0], [1.0, -amount], first)
    np.testing.assert_allclose(deemphasise(torch.from_numpy(y), amount).numpy(), expected, rtol=1e-9, atol=1e-9)
    back = emphasise(torch.from_numpy(expected), amount).numpy()
    np.testing.assert_allclose(back, y, rtol=1e-9, atol=1e-9)


def test_the_first_sample_does_not_stand_out() -> None:
    windows = eeg_like(400, INFO)
    x = fitted(windows, pre_emphasis=0.9).encode(torch.from_numpy(windows.array))
    assert 0.5 < float(x[..., 0].std()) < 2


@pytest.mark.parametrize("amount", [0.0, 0.9])
def test_every_electrode_has_unit_variance_over_the_train_split(amount: float) -> None:
    windows = eeg_like(64, INFO)
    windows.array[:, 2] *= 5
    x = fitted(windows, pre_emphasis=amount).encode(torch.from_numpy(windows.array))
    torch.testing.assert_close(x[:, 0].std((0, 2)), torch.ones(5), rtol=0.02, atol=0)


def test_pre_emphasis_flattens_the_spectrum() -> None:
    windows = eeg_like(64, INFO)
    share = {}
    for amount in (0.0, 0.9):
        power = torch.fft.rfft(fitted(windows, pre_emphasis=amount).encode(torch.from_numpy(windows.array))).abs() ** 2
        share[amount] = float(power[..., :32].sum() / power.sum())  # below 8 Hz
    assert share[0.9] < share[0.0] / 2


def test_whitening_makes_the_covariance_the_identity() -> None:
    windows = eeg_like(64, INFO)
    x = fitted(windows, spatial_whitening=True).encode(torch.from_numpy(windows.array))[:, 0]
    covariance = torch.einsum("bct,bdt->cd", x, x) / (len(x) * INFO.n_samples)
    torch.testing.assert_close(covariance, torch.eye(5), rtol=0, atol=0.02)
    plain = fitted(windows).encode(torch.from_numpy(windows.array))[:, 0]
    assert float(torch.corrcoef(plain.transpose(0, 1).flatten(1))[0, 1]) > 0.2


def test_spectral_whitening_makes_white_noise_of_the_train_split() -> None:
    windows = eeg_like(256, INFO)
    x = fitted(windows, spectral_whitening=True).encode(torch.from_numpy(windows.array))[:, 0]
    spectrum = torch.fft.rfft(x, norm="ortho")[..., 6:168]
    bands = spectrum.unflatten(-1, (-1, 18))
    cross = torch.einsum("bcfk,bdfk->fcd", bands, bands.conj()) / (len(x) * 18)
    torch.testing.assert_close(cross.abs(), torch.eye(5).expand_as(cross.abs()), rtol=0, atol=0.1)
    plain = torch.fft.rfft(fitted(windows).encode(torch.from_numpy(windows.array))[:, 0], norm="ortho").abs().square()
    assert float(plain[..., 2:20].mean() / plain[..., 140:160].mean()) > 10


def test_noise_becomes_the_train_split_s_gaussian_surrogate() -> None:
    windows = eeg_like(256, INFO)
    representation = fitted(windows, spectral_whitening=True)
    noise = torch.randn(256, 1, 5, 512, generator=torch.Generator().manual_seed(0))
    drawn, real = representation.decode(noise), torch.from_numpy(windows.array)
    ratio = torch.fft.rfft(drawn).abs().square().mean(0) / torch.fft.rfft(real).abs().square().mean(0)
    assert float(ratio[:, 6:160].log10().mul(10).abs().mean()) < 1  # dB
    torch.testing.assert_close(
        torch.corrcoef(drawn.transpose(0, 1).flatten(1)),
        torch.corrcoef(real.transpose(0, 1).flatten(1)),
        rtol=0,
        atol=0.05,
    )


@pytest.mark.parametrize("n_samples", [24, 511, 512])
def test_spectral_whitening_is_undone(n_samples: int) -> None:
    windows = eeg_like(64, replace(INFO, n_samples=n_samples))
    windows.array[:] -= windows.array.mean(1, keepdims=True)
    representation = fitted(windows, spectral_whitening=True)
    signal = torch.from_numpy(windows.array)
    x = representation.encode(signal)
    assert float(x.abs().max()) < representation.options.clip
    assert float(relative_error(representation.decode(x), signal).max()) < TimeSeries.tolerance


def test_spectral_whitening_makes_no_pop_of_the_ends() -> None:
    windows = eeg_like(64, INFO)
    windows.array[:] += np.linspace(-20, 20, 512, dtype=np.float32)  # repeated as it is, every window would jump
    x = fitted(windows, spectral_whitening=True).encode(torch.from_numpy(windows.array))
    assert 0.5 < float(x[..., :8].std()) < 1.5
    assert 0.5 < float(x[..., -8:].std()) < 1.5


def test_whitening_follows_statistics_that_are_loaded() -> None:
    ours, theirs = eeg_like(32, INFO), eeg_like(32, INFO)
    theirs.array[:] = 3 * theirs.array[:, ::-1]
    one, other = (fitted(windows, spectral_whitening=True) for windows in (ours, theirs))
    signal = torch.from_numpy(ours.array)
    assert not torch.allclose(one.encode(signal), other.encode(signal), atol=0.1)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.encode(signal), other.encode(signal))


@pytest.mark.parametrize("other", [{"spatial_whitening": True}, {"pre_emphasis": 0.9}])
def test_one_whitening_at_a_time(other: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="choose it or them"):
        TimeseriesOptions.model_validate({"spectral_whitening": True, **other})


def test_whitening_inverts_an_average_reference() -> None:
    windows = eeg_like(64, INFO)
    windows.array[:] -= windows.array.mean(1, keepdims=True)
    representation = fitted(windows, spatial_whitening=True, pre_emphasis=0.9)
    signal = torch.from_numpy(windows.array)
    x = representation.encode(signal)
    assert float(x.abs().max()) < representation.options.clip
    assert float(torch.linalg.cond(representation.whitener)) == pytest.approx(FLOOR**-0.5)
    assert float(relative_error(representation.decode(x), signal).max()) < TimeSeries.tolerance


@pytest.mark.parametrize("clip", [None, 5.0])
def test_clipped_samples_are_counted_and_nothing_else_changes(clip: float | None) -> None:
    windows = eeg_like(16, INFO)
    representation = fitted(windows) if clip is None else fitted(windows, clip=clip)
    signal = torch.from_numpy(windows.array).clone()
    representation.encode(signal)
    assert float(representation.clipped_share) == 0
    signal[0, 0, 100:110] = 1000.0
    x = representation.encode(signal)
    assert float(representation.clipped_share) == pytest.approx(10 / signal.numel())
    assert float(x.max()) == (clip or 8.0)
    decoded = representation.decode(x)
    torch.testing.assert_close(decoded[0, 0, 110:], signal[0, 0, 110:])
    assert float(decoded[0, 0, 100:110].max()) < 1000


def test_an_infinite_clip_loses_nothing() -> None:
    windows = eeg_like(16, INFO)
    representation = fitted(windows, clip=float("inf"))
    signal = 100 * torch.from_numpy(windows.array)
    decoded = representation.decode(representation.encode(signal))
    assert float(representation.clipped_share) == 0
    assert float(relative_error(decoded, signal).max()) < TimeSeries.tolerance


def test_the_mean_of_a_window_is_kept() -> None:
    windows = eeg_like(16, INFO)
    representation = fitted(windows, pre_emphasis=0.9)
    signal = torch.from_numpy(windows.array) + 3.0
    torch.testing.assert_close(representation.decode(representation.encode(signal)), signal, rtol=1e-4, atol=1e-3)


def test_a_constant_offset_of_the_train_split_is_no_variance() -> None:
    """Tables that are not EEG live far from zero."""
    windows = eeg_like(16, INFO)
    windows.array[:] += 1000
    x = fitted(windows).encode(torch.from_numpy(windows.array))
    assert abs(float(x.mean())) < 0.01
    assert float(x.std()) == pytest.approx(1, abs=0.02)


def test_a_flat_electrode_is_named() -> None:
    windows = eeg_like(16, INFO)
    windows.array[:, 3] = 0
    with pytest.raises(SdError, match="O1"):
        fitted(windows)


def test_reduced_matmul_precision_does_not_reach_the_inverse() -> None:
    windows = eeg_like(16, INFO)
    representation = fitted(windows, pre_emphasis=0.9, spatial_whitening=True)
    signal = torch.from_numpy(windows.array)
    with torch.autocast("cpu", torch.bfloat16):
        decoded = representation.decode(representation.encode(signal))
    assert float(relative_error(decoded, signal).max()) < TimeSeries.tolerance
