"""Statistics of the train split: what is read, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sd_core.plugin import SdError, SignalInfo
from sd_core.testing.signals import MemoryWindows, eeg_like
from sd_data.representations import fitting
from sd_data.representations.fitting import train_batches

INFO = SignalInfo(channel_names=("Fz", "Cz"), n_samples=16, sfreq=125.0)


def test_an_empty_split_is_refused() -> None:
    empty = MemoryWindows(np.empty((0, 2, 16), np.float32), INFO)
    with pytest.raises(SdError, match="train split is empty"):
        next(train_batches(empty, INFO))


def test_another_geometry_is_refused_with_both_sides() -> None:
    other = SignalInfo(channel_names=("Fz",), n_samples=16, sfreq=125.0)
    with pytest.raises(SdError, match=r"2 channels x 16 .* 1 channels x 16"):
        next(train_batches(eeg_like(4, other), INFO))


def test_a_window_with_nan_is_named() -> None:
    windows = eeg_like(40, INFO)
    windows.array[37, 1, 5] = np.nan
    with pytest.raises(SdError, match="window 37"):
        list(train_batches(windows, INFO))


def test_a_large_split_is_sampled_the_same_way_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "WINDOWS", 50)
    windows = eeg_like(200, INFO)
    first, second = (torch.cat(list(train_batches(windows, INFO))) for _ in range(2))
    assert first.shape == (50, 2, 16)
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.from_numpy(windows.array[:50]))


def test_a_small_split_is_read_whole_and_in_order() -> None:
    windows = eeg_like(70, INFO)
    batches = list(train_batches(windows, INFO))
    assert max(len(batch) for batch in batches) == fitting.BATCH
    assert torch.equal(torch.cat(batches), torch.from_numpy(windows.array))
