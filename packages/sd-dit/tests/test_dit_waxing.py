"""Power that changes within a window, in the own filter of the diffusion transformer."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sd_core.plugin import Condition, GridShape, SdError, Task
from sd_core.testing.architecture import ArchitectureContract
from sd_dit.model import DiT
from sd_dit.options import DiTOptions
from sd_dit.own import OwnFilter
from sd_dit.waxing import TOGETHER, octaves, smoothed

SHAPE = GridShape(1, 20, 2048)


class TestWaxingPath(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> DiT:
        series = task.shape.width >= 512
        return DiT(DiTOptions(layers=2, heads=2, head_dim=16, own_filter=True, own_waxing=series), task)


def denoise(xt: Tensor, t: float, *, waxes: bool) -> Tensor:
    variance = (1 - t) ** 2 + t**2
    added = OwnFilter(SHAPE, waxes=waxes)(xt, torch.full((len(xt),), t))
    found: Tensor = (1 - t) / variance * xt + t / variance**0.5 * added
    return found


def spread_of_seconds(x: Tensor) -> float:
    """Of log power, all rows together, 16 parts of a window; of white noise .04."""
    return float(x.unflatten(-1, (16, -1)).square().mean((1, 2, 4)).log().std(-1).mean())


def test_octaves_hold_every_frequency_once() -> None:
    assert octaves(1024)[-1] == slice(512, 1024)
    for count in (1024, 300, 5, 1):
        assert [place for octave in octaves(count) for place in range(count)[octave]] == list(range(count))


def test_the_smoother_finds_slow_drifts_in_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(2048) / 2048
    drift = 0.3 * torch.cos(4 * torch.pi * time).expand(8, 1, -1)
    seen = drift + torch.randn(8, 1, 2048, generator=generator)
    found = smoothed(seen, torch.ones(8, 1, 1), TOGETHER)
    assert (found - drift).square().mean() < 0.2 * drift.square().mean()


@pytest.mark.parametrize(("t", "share"), [(0.3, 0.99), (0.5, 0.97), (0.7, 0.98)])
def test_windows_that_wax_and_wane_are_denoised_better(t: float, share: float) -> None:
    white, noise = torch.randn(2, 6, *SHAPE, generator=torch.Generator().manual_seed(0))
    x0 = white * torch.exp(0.5 * torch.cos(6 * torch.pi * torch.arange(2048) / 2048))
    xt = (1 - t) * x0 + t * noise
    still, waxing = ((denoise(xt, t, waxes=waxes) - x0).square().mean() for waxes in (False, True))
    assert waxing < share * still


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_windows_that_do_not_are_denoised_as_well(t: float) -> None:
    x0, noise = torch.randn(2, 6, *SHAPE, generator=torch.Generator().manual_seed(0))
    xt = (1 - t) * x0 + t * noise
    still, waxing = ((denoise(xt, t, waxes=waxes) - x0).square().mean() for waxes in (False, True))
    assert waxing < 1.01 * still


def test_drawn_windows_wax_and_wane() -> None:
    """The filter alone as a denoiser, 15 steps of Euler from noise: every moment finds a power of its own."""
    drawn = {}
    for waxes in (False, True):
        x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
        times = torch.linspace(0.999, 0.0, 16)
        for now, later in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            x = x + (later - now) / now * (x - denoise(x, now, waxes=waxes))
        drawn[waxes] = spread_of_seconds(x)
    assert drawn[False] < 0.1
    assert 0.15 < drawn[True] < 0.7


@pytest.mark.parametrize("waxes", [False, True])
def test_a_window_may_have_an_odd_number_of_samples(waxes: bool) -> None:
    x = torch.randn(2, 1, 3, 1001, generator=torch.Generator().manual_seed(0))
    added = OwnFilter(GridShape(1, 3, 1001), waxes=waxes)(x, torch.full((2,), 0.5))
    assert added.shape == x.shape
    assert added.isfinite().all()


def test_pictures_have_no_moments() -> None:
    with pytest.raises(SdError, match="own_waxing is for series"):
        DiT(DiTOptions(own_filter=True, own_waxing=True), Task(GridShape(6, 32, 32), Condition()))


@pytest.mark.parametrize("asked", [{"own_waxing": True}, {"own_gain": -1.0}])
def test_it_is_not_asked_of_a_filter_that_is_off(asked: dict[str, bool | float]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(asked))} says how own_filter works: set"):
        DiTOptions.model_validate(asked)
