"""The C kernel of a gated layer's gate against its definition in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sd_core.nn import gating
from sd_core.testing.kernels import needs_compiler

pytestmark = pytest.mark.usefixtures("fresh_kernels")


def inputs(width: int = 48, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Gradient, and up beside gate, of more tokens than one task takes; gates reach far into both tails."""
    generator = torch.Generator().manual_seed(0)
    told, up, gate = torch.randn(3, 1500, width, generator=generator)
    gate[:600] *= 6
    return told.to(dtype), torch.cat([up, gate], dim=1).to(dtype)


def answers(told: Tensor, both: Tensor) -> list[Tensor]:
    """Product forward; gradient and product backward."""
    forward, to_both, product = (torch.full_like(part, torch.nan) for part in (told, both, told))
    gating.gated(both, forward)
    gating.gated_backward(told, both, to_both, product)
    return [forward, to_both, product]


def exact(told: Tensor, both: Tensor) -> list[Tensor]:
    both = both.double().requires_grad_()
    up, gate = both.chunk(2, dim=1)
    product = up * F.gelu(gate)
    return [product.detach(), *torch.autograd.grad(product, both, told.double()), product.detach()]


@needs_compiler
def test_it_is_its_definition_and_so_are_its_gradients() -> None:
    parts = inputs()
    assert gating.KERNEL.takes(torch.float32)
    for ours, expected in zip(answers(*parts), exact(*parts), strict=True):
        assert (ours - expected).abs().max() < 3e-7 * expected.abs().max()


@pytest.mark.parametrize("width", [48, 50])
def test_other_widths_dtypes_and_machines_have_pytorch(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if width % 16 == 0:
        monkeypatch.setenv("CC", "no-such-compiler")
        assert not gating.KERNEL.takes(torch.float32)
    for dtype, bound in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        parts = inputs(width, dtype)
        for ours, expected in zip(answers(*parts), exact(*parts), strict=True):
            assert (ours - expected).abs().max() < bound * expected.abs().max()


@needs_compiler
def test_what_is_no_number_stays_none() -> None:
    told, both = inputs()
    both[3, 48 + 5], both[7, 1] = torch.nan, torch.inf
    forward, to_both, product = answers(told, both)
    for part in (forward, to_both[:, :48], to_both[:, 48:], product):
        assert part[3, 5].isnan()
    assert forward[7, 1].isinf()
    assert forward.isfinite().sum() == forward.numel() - 2


@needs_compiler
def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = answers(*inputs())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    monkeypatch.setattr(gating, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(gating, "_NUMBERS", 1 << 10)
    assert all(map(torch.equal, answers(*inputs()), alone))
