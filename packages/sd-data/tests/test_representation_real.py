"""What the representations keep of real EEG: all windows of eegmat, as recorded (no filter of ours)."""

from __future__ import annotations

import math
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from torch import Tensor

from sd_core.plugin import SignalInfo
from sd_core.testing.representation import relative_error
from sd_core.testing.signals import MemoryWindows
from sd_data.representations.iq import DbIq
from sd_data.representations.options import SpectrogramOptions, TimeseriesOptions
from sd_data.representations.polar import PHASE, DbPolar
from sd_data.representations.spectrogram import Spectrogram
from sd_data.representations.timeseries import TimeSeries


@pytest.fixture(scope="module")
def windows(real_data: Path) -> MemoryWindows:
    """All 16.4 s windows, 20 channels, in microvolts."""
    cut = []
    for file in sorted((real_data / "eegmat").glob("*.edf")):
        raw = mne.io.read_raw_edf(file, preload=True, verbose="ERROR")
        signal = raw.get_data() * 1e6
        cut += [signal[:, end - 2048 : end] for end in range(2048, signal.shape[1] + 1, 2048)]
    info = SignalInfo(channel_names=tuple(raw.ch_names), n_samples=2048, sfreq=float(raw.info["sfreq"]))
    return MemoryWindows(np.stack(cut).astype(np.float32), info)


def signal_to_noise(decoded: Tensor, signal: Tensor) -> Tensor:
    """dB of each window, means apart."""
    return -20 * relative_error(decoded, signal).log10()


def chunks(windows: MemoryWindows, every: int = 1) -> list[Tensor]:
    """Batches of 16 windows."""
    return list(torch.from_numpy(windows.array[::every]).split(16))


@pytest.mark.parametrize("average_reference", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        TimeseriesOptions(),
        TimeseriesOptions(pre_emphasis=0.9),
        TimeseriesOptions(spatial_whitening=True),
        TimeseriesOptions(pre_emphasis=0.9, spatial_whitening=True),
    ],
    ids=["plain", "pre-emphasis", "whitening", "both"],
)
def test_timeseries_is_exact_outside_the_clip(
    windows: MemoryWindows, options: TimeseriesOptions, average_reference: bool
) -> None:
    signal = windows.array
    if average_reference:
        signal = signal - signal.mean(axis=1, keepdims=True)
    source = MemoryWindows(signal, windows.info)
    representation = TimeSeries(options, windows.info)
    representation.fit(MemoryWindows(signal[::4], windows.info))
    kept, clipped = 0, 0.0
    for batch in chunks(source):
        x = representation.encode(batch)
        whole = (x.abs() < representation.options.clip).flatten(1).all(1)
        kept += int(whole.sum())
        clipped += float(representation.clipped_share) * len(batch) / len(signal)
        error = (representation.decode(x) - batch)[whole].double().flatten(1).norm(dim=1)
        assert (error <= TimeSeries.tolerance * batch[whole].double().flatten(1).norm(dim=1)).all()
    assert kept > 0.3 * len(signal)
    assert clipped < 1e-3


@pytest.mark.parametrize("kind", [DbIq, DbPolar])
def test_spectrograms_return_every_window_at_40_db(windows: MemoryWindows, kind: type[Spectrogram]) -> None:
    representation = kind(SpectrogramOptions(), windows.info)
    representation.fit(MemoryWindows(windows.array[::4], windows.info))
    ratios = torch.cat([signal_to_noise(representation.decode(representation.encode(b)), b) for b in chunks(windows)])
    assert len(ratios) == 279
    assert float(ratios.min()) > 55
    assert float(ratios.median()) > 60


def noisy(representation: Spectrogram, windows: MemoryWindows, planes: Tensor) -> float:
    """Median dB with noise of standard deviation `planes` (one number per plane) on the network's side."""
    noise = torch.Generator().manual_seed(0)
    ratios = []
    for batch in chunks(windows, every=6):
        x = representation.encode(batch)
        spoilt = x + torch.randn(x.shape, generator=noise) * planes.repeat(windows.info.n_channels)[:, None, None]
        ratios.append(signal_to_noise(representation.decode(spoilt), batch))
    return float(torch.cat(ratios).median())


def test_db_iq_bears_noise(windows: MemoryWindows) -> None:
    """26.1 dB at noise 0.1 when the magnitude comes from the level (I/Q alone would give 23.5)."""
    representation = DbIq(SpectrogramOptions(), windows.info)
    representation.fit(MemoryWindows(windows.array[::4], windows.info))
    assert noisy(representation, windows, torch.full((3,), 0.1)) == pytest.approx(26.1, abs=1.5)


def test_db_polar_bears_noise(windows: MemoryWindows) -> None:
    """22 dB at noise 0.05 of psi/pi, which here is scaled to unit variance."""
    representation = DbPolar(SpectrogramOptions(), windows.info)
    representation.fit(MemoryWindows(windows.array[::4], windows.info))
    planes = torch.tensor([0.05, 0.05, 0.05 * PHASE * math.pi])
    assert noisy(representation, windows, planes) == pytest.approx(22, abs=1.5)
