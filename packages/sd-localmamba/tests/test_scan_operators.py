"""The scan among PyTorch's tools: compiler, fake tensors, autocast, threads, memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from sd_localmamba.scan import chunked
from sd_localmamba.scan.operators import FLOPS, FLOPS_BACKWARD
from sd_localmamba.scan.selective import scan_tokens


def inputs(length: int = 50, width: int = 6, states: int = 4, directions: int = 2, batch: int = 2) -> list[Tensor]:
    torch.manual_seed(0)
    return [
        torch.randn(batch, directions, length, width),
        torch.randn(batch, directions, length, width) - 2,
        -torch.rand(directions, width, states) - 0.5,
        torch.randn(batch, directions, length, states),
        torch.randn(batch, directions, length, states),
        torch.randn(directions, width),
        torch.randn(directions, width),
    ]


def gradients(tensors: list[Tensor], scan: Any = scan_tokens) -> list[Tensor]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    scan(*leaves).square().sum().backward()
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def test_it_compiles_in_one_graph() -> None:
    torch.compiler.reset()
    tensors = inputs()
    compiled = torch.compile(lambda *t: scan_tokens(*(2 * x for x in t)), backend="aot_eager", fullgraph=True)
    plain = gradients(tensors, lambda *t: scan_tokens(*(2 * x for x in t)))
    for one, other in zip(gradients(tensors, compiled), plain, strict=True):
        torch.testing.assert_close(one, other)


def test_operators_keep_their_promises() -> None:
    """Schema, fake shapes and autograd registration, by PyTorch's own check."""
    tensors = [tensor.requires_grad_() for tensor in inputs()]
    torch.library.opcheck(torch.ops.sd_localmamba.scan.default, (*tensors, "auto"))


def test_costs_are_counted_on_tensors_without_numbers() -> None:
    real = inputs()
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        fake = [torch.zeros(tensor.shape, requires_grad=True) for tensor in real]
        y = scan_tokens(*fake)
        y.sum().backward()
    assert y.shape == real[0].shape
    assert counter.get_total_flops() == (FLOPS + FLOPS_BACKWARD) * real[0].numel() * real[2].shape[-1]


def test_it_runs_on_the_meta_device() -> None:
    tensors = [tensor.to("meta") for tensor in inputs()]
    assert scan_tokens(*tensors).shape == tensors[0].shape


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_scanned_in_float32(dtype: torch.dtype) -> None:
    tensors = inputs()
    low = [tensor.to(dtype) if tensor.ndim == 4 else tensor for tensor in tensors]
    y = scan_tokens(*low)
    assert y.dtype == dtype
    exact = scan_tokens(*(tensor.float() for tensor in low))
    assert torch.equal(y, exact.to(dtype))


def test_autocast_leaves_it_in_float32() -> None:
    tensors = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        y = scan_tokens(*tensors)
    assert torch.equal(y, scan_tokens(*tensors))


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_only_what_needs_a_gradient_gets_one(backend: str) -> None:
    tensors = inputs()
    tensors[2].requires_grad_()
    scan_tokens(*tensors, backend=backend).sum().backward()
    assert tensors[2].grad is not None
    assert tensors[0].grad is None


def test_it_does_not_depend_on_the_number_of_threads() -> None:
    """To the bit, or a resumed run would not be the same run."""
    tensors = inputs(length=200, width=200, states=16, batch=1)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append([scan_tokens(*tensors), *gradients(tensors)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


def test_a_second_derivative_is_refused() -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs()]
    (du,) = torch.autograd.grad(scan_tokens(*leaves).square().sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        du.sum().backward()


def test_what_is_saved_does_not_grow_with_states() -> None:
    """Inputs and one state per chunk: less than four times u, where all states would be sixteen times."""
    leaves = [tensor.requires_grad_() for tensor in inputs(length=512, width=64, states=16, batch=1)]
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scan_tokens(*leaves)
    assert 2 * leaves[0].nbytes < sum(saved.values()) < 4 * leaves[0].nbytes


class _Largest(TorchDispatchMode):
    """The most numbers that one operation returned."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor))])
        return out


def test_pytorch_never_holds_all_states() -> None:
    tensors = inputs(length=1024, width=32, states=16, batch=1)
    with _Largest() as largest:
        y, states = chunked.forward(tensors, 32)
        chunked.backward([torch.ones_like(y), *tensors, states], 32)
    assert largest.numbers <= 2 * y.numel()


def test_the_compiler_of_pytorch_is_not_imported() -> None:
    """It takes seconds, and a plain forward pass needs none of it."""
    code = (
        "import sys, torch\n"
        "from sd_localmamba.scan.selective import scan_tokens\n"
        "u, A, B, D = torch.ones(1, 1, 9, 2), -torch.ones(1, 2, 3), torch.ones(1, 1, 9, 3), torch.ones(1, 2)\n"
        "scan_tokens(u, u, A, B, B, D, D)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
