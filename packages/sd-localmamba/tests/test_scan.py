"""Every implementation that runs here against the recurrence in float64, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sd_core.testing.kernels import needs_compiler
from sd_localmamba.scan.definition import scan_by_definition
from sd_localmamba.scan.selective import scan_tokens, selective_scan

NAMES = ("y", "u", "delta", "A", "B", "C", "D", "bias")


@pytest.fixture(params=["torch", pytest.param("compiled", marks=needs_compiler)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inputs(
    length: int, *, width: int = 5, states: int = 4, batch: int = 2, directions: int = 3, large: bool = False
) -> list[Tensor]:
    """Random inputs in float64; with `large` steps up to about 60, whose decays underflow."""
    generator = torch.Generator().manual_seed(length + 100 * width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    delta = normal(batch, directions, length, width)
    A = -torch.arange(1, states + 1, dtype=torch.float64) * normal(directions, width, states).exp()
    return [
        normal(batch, directions, length, width),
        20 * delta if large else delta - 2,
        A,
        normal(batch, directions, length, states),
        normal(batch, directions, length, states),
        normal(directions, width),
        normal(directions, width),
    ]


def with_gradients(scan: object, tensors: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of a weighted sum of it."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    y = scan(*leaves)  # type: ignore[operator]
    weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    return [y.detach(), *torch.autograd.grad(y, leaves, weights)]


def assert_near(ours: list[Tensor], exact: list[Tensor], tolerance: float) -> None:
    for name, one, other in zip(NAMES, ours, exact, strict=True):
        error = float((one.double() - other).abs().max() / other.abs().max().clamp_min(1e-30))
        assert error < tolerance, f"{name} deviates by {error:.2g}"


@pytest.mark.parametrize("large", [False, True], ids=["small steps", "large steps"])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 129, 300])
def test_float64_equals_the_definition(backend: str, length: int, large: bool) -> None:
    tensors = inputs(length, large=large)
    ours = with_gradients(lambda *t: scan_tokens(*t, backend=backend), tensors)
    if length == 1:  # no state decays yet: its gradient is zero, not small
        assert not ours[3].any()
    assert_near(ours, with_gradients(scan_by_definition, tensors), 1e-12)


@pytest.mark.parametrize(("width", "states"), [(1, 1), (8, 16), (64, 16), (67, 16), (130, 3)])
def test_any_number_of_channels_and_states(backend: str, width: int, states: int) -> None:
    tensors = inputs(45, width=width, states=states, batch=1, directions=2)
    ours = with_gradients(lambda *t: scan_tokens(*t, backend=backend), tensors)
    assert_near(ours, with_gradients(scan_by_definition, tensors), 1e-12)


@pytest.mark.parametrize("large", [False, True], ids=["small steps", "large steps"])
def test_float32_stays_near_float64(backend: str, large: bool) -> None:
    tensors = inputs(257, width=70, states=16, batch=1, directions=1, large=large)
    single = [tensor.float() for tensor in tensors]
    ours = with_gradients(lambda *t: scan_tokens(*t, backend=backend), single)
    assert ours[0].dtype == torch.float32
    assert_near(ours, with_gradients(scan_by_definition, [tensor.double() for tensor in single]), 1e-4)


def test_channels_first_is_the_same_scan(backend: str) -> None:
    u, delta, A, B, C, D, bias = inputs(40)
    y = scan_tokens(u, delta, A, B, C, D, bias, backend=backend)
    u, delta = u.mT.flatten(1, 2), delta.mT.flatten(1, 2)
    A, D, bias = (tensor.flatten(0, 1) for tensor in (A, D, bias))
    first = selective_scan(u, delta, A, B.mT, C.mT, D, bias, backend=backend)
    assert torch.equal(first, y.mT.flatten(1, 2))


def test_a_decay_below_the_smallest_number_forgets(backend: str) -> None:
    """exp(-1e4) is 0: what came before leaves no trace, and no NaN."""
    u, delta, A, B, C, D, bias = (tensor.float() for tensor in inputs(50))
    y = scan_tokens(u, delta.fill_(1e4), A.fill_(-1), B, C, D, bias, backend=backend)
    alone = 1e4 * u * (B * C).sum(-1, keepdim=True) + u * D[:, None]
    torch.testing.assert_close(y, alone, rtol=1e-3, atol=2e-3)


def test_what_is_not_a_number_stays_visible(backend: str) -> None:
    tensors = [tensor.float() for tensor in inputs(40)]
    tensors[1][0, 0, 20, 0] = torch.nan
    y = scan_tokens(*tensors, backend=backend)
    assert y[0, 0, 20:, 0].isnan().all()
    assert y[0, 0, :20].isfinite().all()
    assert y[0, 1:].isfinite().all()


def test_only_the_past_matters(backend: str) -> None:
    tensors = inputs(70)
    y = scan_tokens(*tensors, backend=backend)
    later = [tensor.clone() for tensor in tensors]
    for tensor in (later[0], later[1], later[3], later[4]):
        tensor[:, :, 37:] += 1
    assert torch.equal(scan_tokens(*later, backend=backend)[:, :, :37], y[:, :, :37])
