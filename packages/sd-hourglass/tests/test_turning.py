"""The C kernel that turns queries and keys against the chain of PyTorch's operations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_core.nn.tasks import forget_kernels
from sd_core.nn.ushape import Level
from sd_core.testing.kernels import needs_compiler
from sd_hourglass.attention import CosineAttention, GlobalAttention
from sd_hourglass.compiled import turning

pytestmark = needs_compiler


@pytest.fixture
def _forgetting() -> Iterator[None]:
    """Kernels are remembered for the life of a process; whoever changes the compiler leaves none, come what may."""
    yield
    forget_kernels()


def attention(dtype: torch.dtype) -> CosineAttention:
    """With two heads of 32 channels, on a level with more tokens than one task takes."""
    made = CosineAttention(Level(0, 64, 41, 33, (1.0, 2.0), is_middle=False), 32, GlobalAttention())
    with torch.no_grad():
        made.scale.copy_(torch.tensor([3.0, -2.0]))
    return made.to(dtype)


def inputs(dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 41, 33, 3, 2, 32, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def answers(made: CosineAttention, qkv: Tensor) -> list[Tensor]:
    parts = made._parts(qkv)
    weights = torch.linspace(-1, 1, parts[0].numel(), dtype=qkv.dtype).view_as(parts[0]).sin()
    told = sum(((index + 1) * part * weights).sum() for index, part in enumerate(parts))
    return [*parts, *torch.autograd.grad(torch.as_tensor(told), (qkv, made.scale))]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_it_is_the_chain_and_so_are_its_gradients(
    dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = attention(dtype)
    assert turning.takes(inputs(dtype), made.scale)
    ours = answers(made, inputs(dtype))
    monkeypatch.setattr(turning, "takes", lambda *_: False)
    exact = answers(attention(torch.float32).double(), inputs(torch.float64))
    for one, other in zip(ours, exact, strict=True):
        assert one.dtype == dtype
        assert (one - other).abs().max() < bound * other.abs().max()


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = attention(torch.float32)
    alone = answers(made, inputs(torch.float32))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    monkeypatch.setattr(turning, "_WORTH_A_THREAD", 1)
    assert all(map(torch.equal, answers(made, inputs(torch.float32)), alone))


@pytest.mark.usefixtures("_forgetting")
def test_what_it_does_not_take_goes_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    qkv, scale = inputs(torch.float32), torch.ones(2)
    assert turning.takes(qkv, scale)
    assert not turning.takes(qkv.bfloat16(), scale)
    assert not turning.takes(qkv[..., :16], scale)
    with FakeTensorMode():
        assert not turning.takes(torch.zeros(1, 2, 2, 3, 2, 32), scale)
    made = attention(torch.float32)
    x = torch.randn(1, 41, 33, 64)
    torch.nn.init.eye_(made.out.weight)
    traced = torch.compile(made, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(x), made(x))
    monkeypatch.setenv("CC", "no-such-compiler")
    forget_kernels()
    assert not turning.takes(qkv, scale)
