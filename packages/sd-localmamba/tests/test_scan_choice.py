"""Which implementation runs, what is said about it, and what happens where it cannot."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sd_core.nn.building import load_library
from sd_core.plugin import GridShape, SdError, Task
from sd_core.testing.kernels import needs_compiler
from sd_localmamba.model import LocalMamba
from sd_localmamba.options import LocalMambaOptions
from sd_localmamba.scan import building, choice, mamba
from sd_localmamba.scan.choice import choose
from sd_localmamba.scan.definition import scan_by_definition
from sd_localmamba.scan.mamba import takes_mamba
from sd_localmamba.scan.selective import scan_tokens

MODULE = "mamba_ssm.ops.selective_scan_interface"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Choices are remembered for the life of a process; tests start and end without."""

    def forget() -> None:
        for remembered in (choose, load_library, building.load_kernel, mamba._published):
            remembered.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was built before is found."""
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path))


def inputs(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(2, 3, 40, 5), (2, 3, 40, 5), (3, 5, 4), (2, 3, 40, 4), (2, 3, 40, 4), (3, 5), (3, 5)]
    tensors = [torch.randn(shape, dtype=dtype) for shape in shapes]
    tensors[2] = -tensors[2].exp()
    return tensors


@needs_compiler
@pytest.mark.usefixtures("empty_cache")
def test_a_processor_gets_the_compiled_kernel_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sd_localmamba"):
        for _ in range(3):
            scan_tokens(*inputs())
    assert [record.getMessage() for record in caplog.records] == ["selective scan on cpu: compiled"]


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("command", ["no-such-compiler", "false"])
def test_without_a_working_compiler_pytorch_takes_over(
    command: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", command)
    for _ in range(2):
        y = scan_tokens(*inputs(torch.float64))
    torch.testing.assert_close(y, scan_by_definition(*inputs(torch.float64)))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert command in warnings[0]
    with pytest.raises(SdError, match=r"'compiled' does not work here.*choose 'auto'"):
        scan_tokens(*inputs(), backend="compiled")


def test_unknown_and_misplaced_backends_are_refused_by_name() -> None:
    with pytest.raises(SdError, match="'cuda' does not exist; choose one of auto, mamba_ssm, triton, compiled, torch"):
        scan_tokens(*inputs(), backend="cuda")
    with pytest.raises(SdError, match="'triton' needs tensors on cuda, these are on cpu"):
        scan_tokens(*inputs(), backend="triton")


def test_a_backend_that_cannot_run_here_is_refused_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(backend: str) -> LocalMamba:
        options = {"depths": [1], "widths": [16], "mapping_width": 16, "scan_backend": backend}
        return LocalMamba(LocalMambaOptions.model_validate(options), Task(GridShape(1, 4, 4)))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for backend in ("triton", "mamba_ssm"):
        with pytest.raises(SdError, match=rf"scan_backend: '{backend}' needs CUDA.*choose 'auto'"):
            build(backend)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(choice, "MAMBA_IS_INSTALLED", False)
    with pytest.raises(SdError, match=r"sd-localmamba\[mamba\]"):
        build("mamba_ssm")
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    with pytest.raises(SdError, match="triton is not installed"):
        build("triton")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(SdError, match="no C compiler"):
        build("compiled")
    build("torch")
    build("auto")


def published(  # noqa: PLR0917  as published
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any = None, **named: Any
) -> Tensor:
    """As mamba-ssm's function of this name: channels before positions, groups of channels share B and C."""
    assert named.pop("delta_softplus")
    bias = named.pop("delta_bias")
    assert not named
    assert all(tensor.is_contiguous() for tensor in (u, delta, A, B, C, D, bias))
    step, group = F.softplus(delta + bias[:, None]), u.shape[1] // B.shape[1]
    wide_B, wide_C = B.repeat_interleave(group, 1), C.repeat_interleave(group, 1)
    state, outputs = torch.zeros(()), []
    for t in range(u.shape[-1]):
        state = torch.exp(step[..., t, None] * A) * state + (step * u)[..., t, None] * wide_B[..., t]
        outputs.append((state * wide_C[..., t]).sum(-1))
    y: Tensor = torch.stack(outputs, -1) + u * D[:, None]
    return y


def install(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    """Make it what importing mamba-ssm's module gives; None: an ImportError."""
    monkeypatch.setitem(sys.modules, MODULE, module)
    for parent in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    monkeypatch.setattr(choice, "MAMBA_IS_INSTALLED", True)


def test_mamba_is_taken_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting: tuple[Any, ...] = ("auto", "cuda", torch.float32, 16)
    assert (find_spec("mamba_ssm") is not None) == choice.MAMBA_IS_INSTALLED
    monkeypatch.setattr(choice, "MAMBA_IS_INSTALLED", False)
    assert not takes_mamba(*fitting)
    with pytest.raises(SdError, match=r"sd-localmamba\[mamba\]"):
        takes_mamba("mamba_ssm", "cuda", torch.float32, 16)
    module = ModuleType(MODULE)
    module.selective_scan_fn = published  # type: ignore[attr-defined]
    install(monkeypatch, module)
    assert takes_mamba(*fitting)
    assert not takes_mamba("triton", *fitting[1:])
    assert not takes_mamba("auto", "cpu", torch.float32, 16)
    assert not takes_mamba("auto", "cuda", torch.float64, 16)
    assert not takes_mamba("auto", "cuda", torch.float32, 257)
    with pytest.raises(SdError, match="d_state up to 256, not 257"):
        takes_mamba("mamba_ssm", "cuda", torch.float32, 257)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert not takes_mamba(*fitting)


def test_mamba_is_called_as_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(MODULE)
    module.selective_scan_fn = published  # type: ignore[attr-defined]
    install(monkeypatch, module)
    monkeypatch.setattr(mamba, "takes_mamba", lambda *_: True)
    leaves = [tensor.requires_grad_() for tensor in inputs(torch.float64)]
    y, exact = scan_tokens(*leaves), scan_by_definition(*leaves)
    torch.testing.assert_close(y, exact)
    weights = torch.randn_like(y)
    for ours, other in zip(
        torch.autograd.grad(y, leaves, weights), torch.autograd.grad(exact, leaves, weights), strict=True
    ):
        torch.testing.assert_close(ours, other)


def test_a_broken_mamba_is_said_and_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, None)
    for _ in range(2):
        assert not takes_mamba("auto", "cuda", torch.float32, 16)
    assert len(caplog.records) == 1
    assert "mamba-ssm is installed but does not import" in caplog.records[0].getMessage()
    with pytest.raises(SdError, match="'mamba_ssm' does not import here"):
        takes_mamba("mamba_ssm", "cuda", torch.float32, 16)
