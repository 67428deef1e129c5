"""Shifted-window attention against its definition: two tokens see each other if they share a window."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sd_core.plugin import SdError
from sd_hourglass.shifted import ShiftedWindowAttention

CASES = [(8, 8, 4), (5, 64, 8), (20, 33, 8), (7, 5, 3), (3, 17, 8), (9, 9, 2), (1, 1, 8), (6, 6, 1)]


def windows(size: int, window: int, shift: bool) -> Tensor:
    """The window that each position of an axis belongs to; the shift cuts off half a window at the start."""
    by = window // 2 if shift and size > window else 0
    return torch.tensor([(position - by) // window for position in range(size)])


def dense(parts: list[Tensor], window: int, shift: bool, scale: float) -> Tensor:
    query, key, value = (part.flatten(1, 2) for part in parts)
    rows, columns = parts[0].shape[1:3]
    row = windows(rows, window, shift).repeat_interleave(columns)
    column = windows(columns, window, shift).repeat(rows)
    together = (row[:, None] == row) & (column[:, None] == column)
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) * scale
    weights = scores.masked_fill(~together, -torch.inf).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, value).view_as(parts[0])


def inputs(rows: int, columns: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(3, 2, rows, columns, 2, 8, generator=generator, dtype=torch.float64)
    return [part.to(dtype).requires_grad_() for part in parts]


def outputs_and_gradients(out: Tensor, parts: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out).sin()
    return [out, *torch.autograd.grad((out * weights).sum(), parts)]


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize(("rows", "columns", "window"), CASES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_outputs_and_gradients_equal_the_definition(
    *, rows: int, columns: int, window: int, shift: bool, dtype: torch.dtype, bound: float
) -> None:
    exact, parts = inputs(rows, columns), inputs(rows, columns, dtype)
    expected = outputs_and_gradients(dense(exact, window, shift, 0.3), exact)
    out = ShiftedWindowAttention(rows, columns, window, shift)(*parts, 0.3)
    for ours, theirs in zip(outputs_and_gradients(out, parts), expected, strict=True):
        assert (ours.double() - theirs).abs().max() < bound * theirs.abs().max().clamp(min=0.1)


def test_the_shift_joins_what_the_other_windows_part() -> None:
    """A token's influence after an unshifted and a shifted block reaches over the borders of windows."""
    reached = []
    for shift in (False, True):
        query, key, value = inputs(8, 8)
        out = ShiftedWindowAttention(8, 8, 4, shift)(query, key, value, 1.0)
        (gradient,) = torch.autograd.grad(out[:, 3, 3].sum(), value)
        reached.append(gradient.abs().sum((0, 3, 4)) > 0)
    assert not reached[0][4:].any()
    assert reached[0].sum() == reached[1].sum() == 16
    assert reached[1][2:6, 2:6].all()


def test_strangers_and_filled_slots_never_leak() -> None:
    """7 x 5 in windows of 4: slots beyond the grid, and two ends of each axis in one cyclic window."""
    query, key, value = inputs(7, 5)
    attention = ShiftedWindowAttention(7, 5, 4, shift=True)
    clean = attention(query, key, value, 1.0)
    for row, column in ((0, 0), (1, 4), (2, 2), (6, 4), (6, 0)):
        own = (windows(7, 4, True) == windows(7, 4, True)[row])[:, None] & (
            windows(5, 4, True) == windows(5, 4, True)[column]
        )
        worse_key, worse_value = key.detach().clone(), value.detach().clone()
        worse_key[:, ~own] = 1e4
        worse_value[:, ~own] = -1e4
        poisoned = attention(query, worse_key, worse_value, 1.0)
        assert torch.equal(poisoned[:, own], clean[:, own])


def test_it_is_computed_without_memory() -> None:
    with torch.device("meta"):
        hollow = ShiftedWindowAttention(7, 5, 4, shift=True)
    hollow.to_empty(device="cpu").tiles.reset_parameters()
    parts = inputs(7, 5)
    assert torch.equal(hollow(*parts, 1.0), ShiftedWindowAttention(7, 5, 4, shift=True)(*parts, 1.0))
    assert not hollow.state_dict()


def test_it_compiles_into_one_graph() -> None:
    torch.compiler.reset()
    attention, parts = ShiftedWindowAttention(7, 5, 4, shift=True), inputs(7, 5)
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    for ours, theirs in zip(
        outputs_and_gradients(compiled(*parts, 0.3), parts),
        outputs_and_gradients(attention(*parts, 0.3), parts),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_window_without_tokens_is_refused() -> None:
    with pytest.raises(SdError, match="window"):
        ShiftedWindowAttention(7, 5, 0, shift=False)
