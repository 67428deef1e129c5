"""The forms for CUDA where there is CUDA: outputs and gradients against tiles in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sd_hourglass.neighborhood import NeighborhoodAttention, has_natten

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
GRIDS = [(32, 32), (20, 256), (16, 33), (5, 64)]


def outputs_and_gradients(attention: torch.nn.Module, dtype: torch.dtype, grid: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    *parts, weights = torch.randn(4, 2, *grid, 2, 64, generator=generator).to("cuda", dtype)
    inputs = [part.requires_grad_() for part in parts]
    out = attention(*inputs, 0.125)
    return [out, *torch.autograd.grad(out, inputs, weights)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-3), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("backend", ["tiles", "flex", "natten"])
@pytest.mark.parametrize("whole", [False, True], ids=["eager", "compiled"])
def test_it_equals_tiles_in_float64(
    *, grid: tuple[int, int], dtype: torch.dtype, bound: float, backend: str, whole: bool
) -> None:
    """float32 products may be rounded to TF32 inside fused kernels, hence its bound."""
    if backend == "natten" and not has_natten():
        pytest.skip("NATTEN is not installed")
    torch.compiler.reset()
    expected = outputs_and_gradients(NeighborhoodAttention(*grid, 7).cuda(), torch.float64, grid)
    attention = NeighborhoodAttention(*grid, 7, backend=backend).cuda()  # type: ignore[arg-type]
    if whole:
        attention.compile(fullgraph=True)
    for ours, exact in zip(outputs_and_gradients(attention, dtype, grid), expected, strict=True):
        assert ours.dtype == dtype
        assert float((ours.double() - exact).abs().max() / exact.abs().max()) < bound
