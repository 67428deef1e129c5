"""The C kernel of neighborhood attention against tiles, which are tested against the definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from sd_core.plugin import SdError
from sd_core.testing.kernels import needs_compiler
from sd_hourglass.compiled import kernel
from sd_hourglass.compiled.operators import attend
from sd_hourglass.neighborhood import Backend, NeighborhoodAttention

GRIDS = [(32, 32, 7, 64), (5, 64, 7, 16), (20, 33, 7, 64), (1, 9, 7, 16), (9, 1, 3, 16), (3, 3, 7, 32), (6, 11, 1, 16)]
"""Rows, columns, window, channels of a head."""
Grid = tuple[int, int, int, int]


pytestmark = needs_compiler


def inputs(rows: int, columns: int, width: int, *, dtype: torch.dtype = torch.float64, batch: int = 2) -> Tensor:
    """Queries, keys and values as a projection lays them out: (B, rows, columns, 3, heads, head_dim)."""
    generator = torch.Generator().manual_seed(rows)
    shape = batch, rows, columns, 3, 2, width
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def answers(backend: Backend, parts: Tensor, window: int, weights: Tensor | None = None) -> list[Tensor]:
    """The output and the gradient of all inputs."""
    _, rows, columns, *_ = parts.shape
    out = NeighborhoodAttention(rows, columns, window, backend=backend)(*parts.unbind(3), 0.3)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out).sin() if weights is None else weights
    return [out, *torch.autograd.grad((out * weights).sum(), parts)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_it_is_the_same_as_tiles(grid: Grid, dtype: torch.dtype, bound: float) -> None:
    rows, columns, window, width = grid
    expected = answers("tiles", inputs(rows, columns, width), window)
    ours = answers("compiled", inputs(rows, columns, width, dtype=dtype), window)
    for one, exact in zip(ours, expected, strict=True):
        assert one.dtype == dtype
        assert (one - exact).abs().max() < bound * exact.abs().max()


def test_one_example_is_shared_among_tasks_whose_bands_overlap() -> None:
    parts = inputs(20, 12, 16, batch=1)
    assert kernel._tasks(parts[:, :, :, 0]) == 8
    for one, exact in zip(answers("compiled", parts, 7), answers("tiles", parts, 7), strict=True):
        torch.testing.assert_close(one, exact, rtol=0, atol=1e-12)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = inputs(20, 33, 16, dtype=torch.float32)
    alone = answers("compiled", parts, 7)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert all(map(torch.equal, answers("compiled", parts, 7), alone))


def test_gradients_may_come_in_any_layout() -> None:
    """That of an expanded sum has steps of zero, that of a transposed answer the wrong order."""
    parts = inputs(9, 13, 16)
    turned = torch.randn(16, 2, 13, 9, 2, dtype=torch.float64).permute(4, 3, 2, 1, 0)
    for weights in (torch.ones((), dtype=torch.float64).expand(2, 9, 13, 2, 16), turned):
        for one, exact in zip(answers("compiled", parts, 7, weights), answers("tiles", parts, 7, weights), strict=True):
            torch.testing.assert_close(one, exact, rtol=0, atol=1e-12)


def test_what_lies_outside_a_window_does_not_matter() -> None:
    parts = inputs(20, 33, 16)
    attention = NeighborhoodAttention(20, 33, 7, backend="compiled")
    clean = attention(*parts.unbind(3), 1.0)
    with torch.no_grad():
        parts[:, 8:, 12:, 1] = 1e4
        parts[:, 8:, 12:, 2] = -1e4
    poisoned = attention(*parts.unbind(3), 1.0)
    assert torch.equal(poisoned[:, :5], clean[:, :5])
    assert torch.equal(poisoned[:, :, :9], clean[:, :, :9])
    assert (poisoned[:, 5:, 9:] != clean[:, 5:, 9:]).any(-1).all()


def test_what_is_no_number_stays_none() -> None:
    """A loss that is no longer finite must show."""
    for bad in (torch.nan, torch.inf):
        parts = inputs(6, 11, 16, dtype=torch.float32)
        with torch.no_grad():
            parts[0, 2, 3, 0] = bad
        out = NeighborhoodAttention(6, 11, 3, backend="compiled")(*parts.unbind(3), 1.0)
        assert out[0, 2, 3].isnan().all()
        assert out.isnan().sum() == out[0, 2, 3].numel()


def test_large_scores_do_not_overflow() -> None:
    parts = inputs(6, 11, 16, dtype=torch.float32)
    attention = NeighborhoodAttention(6, 11, 3, backend="compiled")
    hard, wanted = (way(*parts.unbind(3), 1e4) for way in (attention, NeighborhoodAttention(6, 11, 3, backend="tiles")))
    torch.testing.assert_close(hard, wanted)


def test_without_gradients_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "weights_shape", lambda *_: pytest.fail("room for weights"))
    with torch.no_grad():
        NeighborhoodAttention(6, 11, 3, backend="compiled")(*inputs(6, 11, 16).unbind(3), 1.0)


def test_it_compiles_into_one_graph() -> None:
    torch.compiler.reset()
    attention = NeighborhoodAttention(10, 13, 7, backend="compiled")
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    parts = inputs(10, 13, 16)
    outs = [way(*parts.unbind(3), 0.3) for way in (attention, compiled)]
    gradients = [torch.autograd.grad(out.square().sum(), parts)[0] for out in outs]
    assert torch.equal(*outs)
    torch.testing.assert_close(*gradients)


def test_it_is_counted_without_memory() -> None:
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        parts = torch.zeros(2, 20, 33, 3, 2, 16, requires_grad=True)
        NeighborhoodAttention(20, 33, 7, backend="compiled")(*parts.unbind(3), 1.0).sum().backward()
        assert parts.grad is not None
        assert parts.grad.shape == parts.shape
    assert counter.get_total_flops() == 6 * 2 * (2 * 20 * 33 * 2) * 49 * 16


@pytest.mark.parametrize(("width", "dtype"), [(8, torch.float32), (16, torch.bfloat16)])
def test_what_it_cannot_attend_to_is_refused(width: int, dtype: torch.dtype) -> None:
    """In a sentence, before any memory is touched."""
    query, key, value = inputs(6, 11, width, dtype=dtype).unbind(3)
    with pytest.raises(SdError, match="choose backend 'auto'"):
        attend(query, key, value, kernel.Window(3, 3), 1.0)
