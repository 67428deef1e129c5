"""SS2D against a loop over directions and tokens, and what each position can see."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_localmamba.directions import scan_order
from sd_localmamba.fusion import DirectionGates
from sd_localmamba.options import Direction, LocalMambaOptions
from sd_localmamba.ss2d import SS2D

DIRECTIONS = LocalMambaOptions().directions


def module(rows: int, columns: int, directions: Sequence[str] = DIRECTIONS) -> SS2D:
    torch.manual_seed(0)
    ss2d = SS2D(6, rows, columns, directions, channels=8, states=3, rank=2).double()
    nn.init.normal_(ss2d.out_proj.weight)
    return ss2d


def by_definition(ss2d: SS2D, x: Tensor) -> Tensor:
    """One token after the other, in float64; the gates have a test of their own."""
    inner, gate = ss2d.in_proj(x).chunk(2, dim=-1)
    inner = F.silu(ss2d.conv(inner.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).flatten(1, 2)
    rank, states, _ = ss2d.sizes
    weights = ss2d.scan_proj.weight.unflatten(0, (-1, rank + 2 * states))
    outputs = []
    for k, name in enumerate(ss2d.orders.directions):
        decay = -ss2d.log_decay[k].exp()
        state = x.new_zeros(len(x), inner.shape[-1], states)
        at: dict[int, Tensor] = {}
        for token in scan_order(Direction.named(name), *x.shape[1:3]).tolist():
            u = inner[:, token]
            low, enter, leave = (u @ weights[k].T).split([rank, states, states], dim=-1)
            step = F.softplus(low @ ss2d.step_proj[k] + ss2d.step_bias[k])[..., None]
            state = (step * decay).exp() * state + step * u[..., None] * enter[:, None]
            at[token] = (state * leave[:, None]).sum(-1) + ss2d.skip[k] * u
        outputs.append(torch.stack([at[token] for token in range(inner.shape[1])], dim=1))
    fused = ss2d.norm(ss2d.gates(torch.stack(outputs, dim=1)).sum(1)).unflatten(1, x.shape[1:3])
    out: Tensor = ss2d.out_proj(fused * F.silu(gate))
    return out


@pytest.mark.parametrize("grid", [(3, 5), (9, 8), (1, 11)], ids=str)
def test_it_is_the_recurrence(grid: tuple[int, int]) -> None:
    ss2d, x = module(*grid), torch.randn(2, *grid, 6, dtype=torch.float64)
    torch.testing.assert_close(ss2d(x), by_definition(ss2d, x), rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_the_recurrence() -> None:
    ss2d = module(3, 4, ("h_flip", "v", "w2"))
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    seed = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    inputs = [x, *ss2d.parameters()]
    ours = torch.autograd.grad((ss2d(x) * seed).sum(), inputs)
    theirs = torch.autograd.grad((by_definition(ss2d, x) * seed).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


class _Open(DirectionGates):
    """Gates that are open; the mean in real ones would show every position to every other."""

    def forward(self, y: Tensor) -> Tensor:
        return y


def seen(rows: int, columns: int, directions: Sequence[str]) -> Tensor:
    """Which outputs depend on which inputs through the scans alone, (positions, positions)."""
    ss2d = module(rows, columns, directions)
    ss2d.gates = _Open(8)
    with torch.no_grad():  # a convolution that looks at its own position only
        ss2d.conv.weight.zero_()[:, :, 1, 1] = 1
    x = torch.randn(1, rows, columns, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: ss2d(x).sum((0, 3)), x)
    depends: Tensor = jacobian.abs().sum((2, 5)).flatten(0, 1).flatten(1) > 0
    return depends


@pytest.mark.parametrize("grid", [(9, 8), (1, 10), (3, 15)], ids=str)
def test_every_position_sees_every_other(grid: tuple[int, int]) -> None:
    assert seen(*grid, DIRECTIONS).all()


def test_one_way_scans_are_blind_to_what_comes_later() -> None:
    """What the flips are for; and the last token sees all, so that the test above can fail."""
    depends = seen(3, 4, ("h",))
    assert torch.equal(depends, torch.ones(12, 12).tril().bool())


def test_it_starts_at_zero_with_the_steps_and_decays_of_mamba() -> None:
    ss2d = SS2D(6, 2, 2, DIRECTIONS, channels=8, states=16, rank=2)
    assert not ss2d(torch.randn(1, 2, 2, 6)).any()
    torch.testing.assert_close(ss2d.log_decay.exp()[3, 5], torch.arange(1.0, 17.0))
    steps = F.softplus(ss2d.step_bias)
    assert steps.min() >= 0.9e-3
    assert steps.max() <= 0.11
    assert steps.max() > 5 * steps.min()


def test_directions_change_the_answer() -> None:
    """Each of the names scans otherwise, and with the same weights answers otherwise."""
    x = torch.randn(1, 9, 8, 6, dtype=torch.float64)
    answers = [module(9, 8, (name,))(x) for name in DIRECTIONS]
    for index, one in enumerate(answers):
        for other in answers[:index]:
            assert (one - other).abs().max() > 1e-6


def test_autocast_rounds_a_little() -> None:
    ss2d, x = module(4, 4).float(), torch.randn(2, 4, 4, 6)
    exact = ss2d(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = ss2d(x)
    assert (rounded.float() - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()
