"""Pictures: colours that survive grey, electrodes in order, low frequencies at the bottom, waves the right way up."""

from __future__ import annotations

import math

import torch

from sd_core.plugin import SignalInfo
from sd_core.testing.signals import eeg_like
from sd_data.representations.db import DbOnly
from sd_data.representations.options import DbOnlyOptions
from sd_data.representations.pictures import GAP, PAGE, PITCH, UNIT, colour, draw_traces, mosaic


def lightness(rgb: torch.Tensor) -> torch.Tensor:
    """CIE L* of sRGB (3, ...)."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance.clamp(min=0.008856) ** (1 / 3) - 16


def test_equal_steps_of_value_are_equal_steps_of_lightness() -> None:
    steps = lightness(colour(torch.linspace(0.1, 1, 200).reshape(1, -1)))[0].diff()
    assert float(steps.min()) > 0.8 * float(steps.mean())
    assert float(steps.max()) < 1.2 * float(steps.mean())


def test_values_beyond_the_scale_take_its_end_colours() -> None:
    assert torch.equal(colour(torch.tensor([[-9.0, 9.0]])), colour(torch.tensor([[0.0, 1.0]])))


def test_mosaic_keeps_the_order_of_reading() -> None:
    tiles = torch.arange(5).float().reshape(1, 5, 1, 1, 1).expand(1, 5, 3, 4, 6)
    sheet = mosaic(tiles)[0, 0]
    assert sheet.shape == (2 * 4 + GAP, 3 * 6 + 2 * GAP)
    assert [float(sheet[r * (4 + GAP), c * (6 + GAP)]) for r, c in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))] == [
        *range(5)
    ]
    assert float(sheet[-1, -1]) == 1.0


def test_low_frequencies_are_at_the_bottom() -> None:
    info = SignalInfo(channel_names=("Oz",), n_samples=2048, sfreq=125.0)
    representation = DbOnly(DbOnlyOptions(), info)
    representation.fit(eeg_like(8, info))
    slow = torch.sin(2 * math.pi * 3 * torch.arange(2048) / 125.0).mul(50).expand(1, 1, -1)
    grey = representation.picture(representation.encode(slow)).mean(1)[0]
    assert grey.shape == (64, 64)
    assert float(grey[58:62].mean()) > float(grey[20:56].mean()) + 0.3


def test_positive_is_up_and_one_deviation_is_one_unit() -> None:
    flat = torch.zeros(1, 1, PAGE)
    middle = int(draw_traces(flat, sfreq=1000.0).mean(1)[0, :, 0].argmin())
    raised = int(draw_traces(flat + 1, sfreq=1000.0).mean(1)[0, :, 0].argmin())
    assert raised == middle - round(UNIT)


def test_every_electrode_has_its_own_line() -> None:
    page = draw_traces(torch.zeros(1, 20, 2048), sfreq=125.0).mean(1)[0, :, 0]
    lines = (page < 0.5).nonzero().flatten()
    assert len(lines) == 20
    assert lines.diff().unique().tolist() == [PITCH]


def test_short_windows_fill_the_page() -> None:
    page = draw_traces(torch.zeros(1, 2, 24), sfreq=1.0)
    assert page.shape[-1] == PAGE
    assert (page.mean(1) < 0.5).any(1).all()
