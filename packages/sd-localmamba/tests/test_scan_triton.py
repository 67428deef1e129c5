"""The Triton kernels: interpreted on a processor where triton can be imported, compiled where there is a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from sd_localmamba.scan.definition import scan_by_definition
from sd_localmamba.scan.selective import scan_tokens

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

INTERPRETED = """
import torch
from sd_localmamba.scan import chunked, on_triton

on_triton.BLOCK = 2
for dtype, length in ((torch.float64, 7), (torch.float32, 8)):
    torch.manual_seed(0)
    shapes = [(1, 2, length, 3), (1, 2, length, 3), (2, 3, 3), (1, 2, length, 3), (1, 2, length, 3), (2, 3), (2, 3)]
    tensors = [torch.randn(shape, dtype=dtype) for shape in shapes]
    tensors[1] *= 15
    tensors[2] = -tensors[2].exp()
    y, states = chunked.forward(tensors, 4)
    expected = [y, states, *chunked.backward([torch.ones_like(y), *tensors, states], 4)]
    y, states = on_triton.forward(tensors, 4)
    found = [y, states, *on_triton.backward([torch.ones_like(y), *tensors, states], 4)]
    for one, other in zip(found, expected, strict=True):
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))
print("equal")
"""

COMPILED = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from sd_localmamba.scan import triton_kernels as kernels

sizes = {"K", "L", "C", "N", "S"}
for kernel in (kernels.forward_kernel, kernels.adjoint_kernel, kernels.gradient_kernel):
    constants = {n: v for n, v in {"T": 64, "PADDED": 16, "BLOCK": 64}.items() if n in kernel.arg_names}
    signature = {n: "i32" if n in sizes else "*fp32" for n in kernel.arg_names} | dict.fromkeys(constants, "constexpr")
    compile(ASTSource(fn=kernel, signature=signature, constexprs=constants), target=GPUTarget("cuda", 90, 32))
print("compiled")
"""


def run(code: str, **environment: str) -> str:
    """Triton decides at import how it runs: each way in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.strip()


@needs_triton
def test_interpreted_kernels_equal_pytorch() -> None:
    assert run(INTERPRETED, TRITON_INTERPRET="1") == "equal"


@needs_triton
def test_the_kernels_compile_for_a_gpu_that_is_not_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Down to the machine code of an H100, which needs no GPU."""
    assert run(COMPILED, TRITON_CACHE_DIR=str(tmp_path_factory.mktemp("triton"))) == "compiled"


@needs_triton
@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("length", [1, 63, 64, 200])
def test_on_a_gpu_it_equals_the_definition(dtype: torch.dtype, tolerance: float, length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    shapes = [(2, 3, length, 70), (2, 3, length, 70), (3, 70, 16), (2, 3, length, 16), (2, 3, length, 16)]
    tensors = [torch.randn(shape, generator=generator).to("cuda", dtype) for shape in [*shapes, (3, 70), (3, 70)]]
    tensors[2] = -tensors[2].exp()
    leaves = [tensor.requires_grad_() for tensor in tensors]
    exact_leaves = [tensor.detach().double().requires_grad_() for tensor in tensors]
    y, exact = scan_tokens(*leaves, backend="triton"), scan_by_definition(*exact_leaves)
    weights = torch.randn_like(exact)
    ours = [y, *torch.autograd.grad(y, leaves, weights.to(dtype))]
    others = [exact, *torch.autograd.grad(exact, exact_leaves, weights)]
    for one, other in zip(ours, others, strict=True):
        assert float((one - other).abs().max() / other.abs().max().clamp_min(1e-30)) < tolerance
    again = scan_tokens(*leaves, backend="triton")
    repeated = [again, *torch.autograd.grad(again, leaves, weights.to(dtype))]
    assert all(torch.equal(one, two) for one, two in zip(ours, repeated, strict=True))
