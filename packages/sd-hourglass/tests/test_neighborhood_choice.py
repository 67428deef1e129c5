"""Which way neighborhood attention is computed, and what is said about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_core.nn.tasks import forget_kernels
from sd_core.plugin import SdError
from sd_core.testing.kernels import needs_compiler
from sd_hourglass import neighborhood, tiles
from sd_hourglass.neighborhood import NeighborhoodAttention

PARTS = torch.randn(3, 1, 6, 9, 2, 16, generator=torch.Generator().manual_seed(0)).unbind()


class Natten(ModuleType):
    """NATTEN's `na2d`, by the names that version 0.21 documents, computed by tiles; it notes how it was called."""

    def __init__(self, *, kernels: bool = True) -> None:
        super().__init__("natten")
        self.__spec__: Any = object()
        self.HAS_LIBNATTEN = kernels
        self.calls: list[tuple[object, object]] = []

    def na2d(self, query: Tensor, key: Tensor, value: Tensor, kernel_size: object, *, scale: float) -> Tensor:
        assert query.dtype == key.dtype == value.dtype
        assert isinstance(kernel_size, tuple)
        for size, count in zip(kernel_size, query.shape[1:3], strict=True):
            assert 1 < size <= count, "NATTEN refuses it"
        self.calls.append((kernel_size, scale))
        rows, columns = query.shape[1:3]
        out: Tensor = NeighborhoodAttention(rows, columns, max(kernel_size))(query, key, value, scale)
        return out


@pytest.fixture(autouse=True)
def _say_it_again() -> Iterator[None]:
    """What is chosen and said is remembered for the life of a process; tests start and end without."""

    def forget() -> None:
        for remembered in (neighborhood._announce, neighborhood._no_kernel):
            remembered.cache_clear()
        forget_kernels()

    forget()
    yield
    forget()


@pytest.fixture
def natten(monkeypatch: pytest.MonkeyPatch) -> Natten:
    module = Natten()
    monkeypatch.setitem(sys.modules, "natten", module)
    return module


@needs_compiler
def test_without_cuda_it_is_a_compiled_kernel(natten: Natten, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        assert NeighborhoodAttention(6, 9, 7).fused == "compiled"
    assert caplog.messages == ["neighborhood attention: a compiled kernel"]


def test_without_a_compiler_it_is_tiles(
    natten: Natten, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setenv("CC", "no-such-compiler")
    for _ in range(2):
        assert NeighborhoodAttention(6, 9, 7).fused == "tiles"
    why, what = caplog.messages
    assert "no C compiler (no-such-compiler)" in why
    assert what == "neighborhood attention: tiles in plain PyTorch"
    with pytest.raises(SdError, match=r"'compiled' does not work here: .*; choose 'auto'"):
        NeighborhoodAttention(6, 9, 7, backend="compiled")


@needs_compiler
def test_the_compiled_kernel_gets_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole groups of channels, in precisions it knows: also bfloat16 where the processor does not."""
    monkeypatch.setattr(tiles, "_BF16_PROCESSOR", False)
    for dtype, head_dim, fits in ((torch.float32, 16, True), (torch.float64, 64, True), (torch.float32, 24, False)):
        assert neighborhood._is_for("compiled", torch.empty(1, 6, 9, 2, head_dim, dtype=dtype)) == fits
    half = torch.empty(1, 6, 9, 2, 16, dtype=torch.bfloat16)
    assert neighborhood._is_for("compiled", half)
    monkeypatch.setattr(tiles, "_BF16_PROCESSOR", True)
    assert not neighborhood._is_for("compiled", half)


def test_on_cuda_it_is_natten_where_that_can(
    natten: Natten, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert NeighborhoodAttention(6, 9, 7).fused == "natten"
    assert NeighborhoodAttention(1, 9, 7).fused == "flex"
    natten.HAS_LIBNATTEN = False
    assert NeighborhoodAttention(6, 9, 7).fused == "flex"
    monkeypatch.delitem(sys.modules, "natten")
    assert NeighborhoodAttention(6, 9, 7).fused == "flex"
    assert caplog.messages == [
        "neighborhood attention: on CUDA, NATTEN's fused kernel",
        "neighborhood attention: on CUDA, flex_attention",
    ]


def test_what_is_not_on_cuda_is_for_tiles_anyway(natten: Natten, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = NeighborhoodAttention(6, 9, 7)(*PARTS, 1.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    torch.testing.assert_close(NeighborhoodAttention(6, 9, 7)(*PARTS, 1.0), expected)
    assert not natten.calls


@pytest.mark.parametrize(
    ("dtype", "head_dim", "fits"),
    [
        (torch.bfloat16, 64, True),
        (torch.float32, 24, True),
        (torch.float64, 64, False),
        (torch.float32, 12, False),
        (torch.float32, 8, False),
    ],
)
def test_fused_kernels_get_what_they_take(dtype: torch.dtype, head_dim: int, fits: bool) -> None:
    with FakeTensorMode():
        value = torch.empty(1, 6, 9, 2, head_dim, dtype=dtype, device="cuda")
    assert neighborhood._is_for("flex", value) == fits


@pytest.mark.parametrize("backend", ["tiles", pytest.param("compiled", marks=needs_compiler), "flex", "natten"])
def test_a_backend_that_is_named_is_taken(natten: Natten, backend: neighborhood.Backend) -> None:
    """With queries in another dtype than values, as rotary tables leave them."""
    query, key, value = PARTS
    out = NeighborhoodAttention(6, 9, 7, backend=backend)(query.double(), key.double(), value, 0.5)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, NeighborhoodAttention(6, 9, 7)(query, key, value, 0.5))
    assert natten.calls == ([((6, 7), 0.5)] if backend == "natten" else [])


def test_natten_must_be_there_when_it_is_named(natten: Natten, monkeypatch: pytest.MonkeyPatch) -> None:
    natten.HAS_LIBNATTEN = False
    with pytest.raises(SdError, match="pip install"):
        NeighborhoodAttention(6, 9, 7, backend="natten")
    monkeypatch.delitem(sys.modules, "natten")
    with pytest.raises(SdError, match="pip install"):
        NeighborhoodAttention(6, 9, 7, backend="natten")


def test_what_cannot_be_is_refused() -> None:
    for kernel in (0, -3, 6):
        with pytest.raises(SdError, match="odd"):
            NeighborhoodAttention(6, 9, kernel)
    unknown: Any = "cudnn"
    with pytest.raises(SdError, match="'cudnn' is none of auto, tiles, compiled, flex, natten"):
        NeighborhoodAttention(6, 9, 7, backend=unknown)
