"""The C kernel of the scaled RMS norm against PyTorch's operations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_core.nn import rms
from sd_core.nn.norms import EPSILON, AdaRMSNorm, rms_norm
from sd_core.testing.kernels import needs_compiler

pytestmark = pytest.mark.usefixtures("fresh_kernels")


def plain(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * gain[:, None, None]


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, gain = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((2, 41, 33, 32), (2, 32)))
    return x.to(dtype).requires_grad_(), gain.to(dtype).requires_grad_()


def answers(way: object, parts: tuple[Tensor, Tensor]) -> list[Tensor]:
    assert callable(way)
    out = way(*parts, EPSILON)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out).sin()
    return [out, *torch.autograd.grad((out * weights).sum(), parts)]


@needs_compiler
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_it_is_its_definition_and_so_are_its_gradients(dtype: torch.dtype, bound: float) -> None:
    assert rms.takes(*inputs(dtype))
    for ours, exact in zip(answers(rms.scaled_rms_norm, inputs(dtype)), answers(plain, inputs()), strict=True):
        assert ours.dtype == dtype
        assert (ours - exact).abs().max() < bound * exact.abs().max()


@needs_compiler
def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = answers(rms.scaled_rms_norm, inputs())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    monkeypatch.setattr(rms, "_WORTH_A_THREAD", 1)
    assert all(map(torch.equal, answers(rms.scaled_rms_norm, inputs()), alone))


@needs_compiler
def test_what_it_does_not_take_goes_another_way() -> None:
    x, gain = inputs()
    assert rms.takes(x, gain)
    assert not rms.takes(x.float(), gain)
    assert not rms.takes(x.bfloat16(), gain.bfloat16())
    assert not rms.takes(x[..., :24], gain[..., :24])
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert not rms.takes(torch.zeros(2, 3, 32), gain)
    norm = AdaRMSNorm(32, 4).double()
    torch.nn.init.normal_(norm.gain.weight)
    condition = torch.randn(2, 4, dtype=torch.float64)
    traced = torch.compile(norm, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(x, condition), norm(x, condition))


def test_without_a_compiler_it_is_still_the_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    x, gain = inputs()
    assert not rms.takes(x, gain)
    torch.testing.assert_close(AdaRMSNorm(32, 4).double()(x, torch.randn(2, 4)), rms_norm(x))


def test_a_gain_for_all_examples_is_for_pytorch() -> None:
    """The kernel reads a gain per example: one for all would be read beyond its end."""
    x, gain = inputs(torch.float32)
    assert not rms.takes(x, gain[:1])
    norm = AdaRMSNorm(x.shape[-1], 8)
    assert norm(x, torch.ones(1, 8)).isfinite().all()
