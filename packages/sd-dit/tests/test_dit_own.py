"""The window's own filter in the diffusion transformer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sd_core.plugin import Condition, GridShape, Task
from sd_core.testing.architecture import ArchitectureContract
from sd_dit.model import DiT
from sd_dit.options import DiTOptions
from sd_dit.own import OwnFilter

SERIES, PICTURE = GridShape(1, 6, 1024), GridShape(6, 32, 32)


class TestOwnPath(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> DiT:
        return DiT(DiTOptions(layers=2, heads=2, head_dim=16, own_filter=True), task)


def draw(shape: GridShape, *, mixed: bool) -> Tensor:
    """Windows of unit variance, white, or each with what goes together in a way of its own."""
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(4, *shape, generator=generator)
    if not mixed:
        return white
    together = torch.randn(4, 6, 6, generator=generator).softmax(-1) * 6**0.5
    return torch.einsum("bij,bjhw->bihw" if shape.channels > 1 else "bij,bcjt->bcit", together, white)


@pytest.mark.parametrize("shape", [SERIES, PICTURE])
@pytest.mark.parametrize(("t", "share"), [(0.1, 0.99), (0.3, 0.9), (0.5, 0.84)])
def test_it_denoises_windows_of_their_own_kind(shape: GridShape, t: float, share: float) -> None:
    x0 = draw(shape, mixed=True)
    noise = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    xt, variance = (1 - t) * x0 + t * noise, (1 - t) ** 2 + t**2
    white = (1 - t) / variance * xt
    own = white + t / variance**0.5 * OwnFilter(shape)(xt, torch.full((4,), t))
    assert (own - x0).square().mean() < share * (white - x0).square().mean()


@pytest.mark.parametrize("shape", [SERIES, PICTURE])
@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_it_adds_next_to_nothing_where_there_is_nothing_of_its_own(shape: GridShape, t: float) -> None:
    x0 = draw(shape, mixed=False)
    noise = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))
    added = OwnFilter(shape)((1 - t) * x0 + t * noise, torch.full((4,), t))
    assert added.shape == x0.shape
    assert float(added.square().mean()) < 0.03


def test_it_starts_at_zero_and_then_shows() -> None:
    torch.manual_seed(0)
    network = DiT(DiTOptions(layers=1, heads=1, head_dim=16, own_filter=True), Task(SERIES, Condition())).eval()
    x, t = draw(SERIES, mixed=True), torch.full((4,), 0.3)
    assert not network(x, t).any()
    assert network.own is not None
    with torch.no_grad():
        network.own.gains.everywhere.weight.fill_(1.0)
    assert network(x, t).any()


def test_how_loud_a_window_is_shows_through_much_noise() -> None:
    """At t = .9 the data are a hundredth of the noise's power, in 40,960 values: enough for all of them together."""
    shape, t = GridShape(1, 20, 2048), 0.9
    x0, noise = torch.randn(2, 16, *shape, generator=torch.Generator().manual_seed(0))
    x0[:8] *= 2
    x0[8:] *= 0.5
    xt, variance = (1 - t) * x0 + t * noise, (1 - t) ** 2 + t**2
    found = (1 - t) / variance * xt + t / variance**0.5 * OwnFilter(shape)(xt, torch.full((16,), t))
    shares = (found * xt).mean((1, 2, 3)) / xt.square().mean((1, 2, 3))
    assert shares[:8].min() > 2 * shares[8:].max()


def test_a_silent_network_can_be_the_filter() -> None:
    """Under v_prediction, whose target is ((1 - t) noise - t x0) / s: what is added to x0 is there times -t / s."""
    options = DiTOptions(layers=1, heads=1, head_dim=16, own_filter=True, own_gain=-1.0, local_gains=True)
    network, t = DiT(options, Task(SERIES, Condition())).eval(), 0.3
    x0, noise = draw(SERIES, mixed=True), torch.randn(4, *SERIES, generator=torch.Generator().manual_seed(1))
    xt, times, s = (1 - t) * x0 + t * noise, torch.full((4,), t), ((1 - t) ** 2 + t**2) ** 0.5
    torch.testing.assert_close(network(xt, times), -OwnFilter(SERIES)(xt, times))
    target = ((1 - t) * noise - t * x0) / s
    assert (network(xt, times) - target).square().mean() < 0.95 * target.square().mean()
