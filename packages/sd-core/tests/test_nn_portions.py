"""The gated layer in portions against the layer as a whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from sd_core.nn import portions
from sd_core.nn.feedforward import GEGLU


def plain(x: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    up, gate = F.linear(x, gate_up).chunk(2, dim=-1)
    return F.linear(up * F.gelu(gate), down)


def inputs(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 7, 5), (2 * 6, 5), (5, 6)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("tokens", [1, 4, 7, 21, 1000])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_portions_change_neither_output_nor_gradients(
    tokens: int, dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "_portion", lambda: tokens)
    parts = inputs(dtype)
    outs = [way(*parts) for way in (plain, portions.geglu)]
    torch.testing.assert_close(*outs, rtol=bound, atol=bound)
    weights = torch.linspace(-1, 1, outs[0].numel(), dtype=dtype).view_as(outs[0])
    for one, other in zip(*(torch.autograd.grad(out, parts, weights) for out in outs), strict=True):
        torch.testing.assert_close(one, other, rtol=bound, atol=bound)
    with torch.no_grad():
        assert torch.equal(portions.geglu(*parts), outs[1])


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    parts = inputs()
    parts[frozen].requires_grad_(False)
    others = [part for part in parts if part.requires_grad]
    ours, theirs = (torch.autograd.grad(way(*parts).square().sum(), others) for way in (portions.geglu, plain))
    torch.testing.assert_close(ours, theirs)


def test_the_layer_goes_in_portions_only_where_that_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapted layer, dropout, autocast and a traced graph want to be seen by PyTorch."""
    monkeypatch.setattr(portions, "geglu", lambda x, *_: x)
    x = torch.randn(3, 4)
    layer = GEGLU(4, 6, dropout_rate=0.5)
    nn.init.ones_(layer.down.weight)
    assert not torch.equal(layer(x), x)
    assert torch.equal(layer.eval()(x), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(layer(x), x)
    assert not torch.equal(torch.compile(layer, backend="eager", fullgraph=True)(x), x)
    layer.down = nn.Sequential(layer.down)  # type: ignore[assignment]
    assert not torch.equal(layer(x), x)


@pytest.mark.parametrize("name", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
@pytest.mark.parametrize("watched", ["gate_up", "dropout", "down", "every module"])
def test_hooks_of_its_layers_are_called_and_change_nothing(name: str, watched: str) -> None:
    torch.manual_seed(0)
    layer, x = GEGLU(4, 6).double(), torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    nn.init.normal_(layer.down.weight)

    def answers() -> list[Tensor]:
        out = layer(x)
        return [out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])]

    unwatched, called = answers(), []
    if watched == "every module":
        register, expected = getattr(nn.modules.module, f"register_module_{name}_hook"), set(layer.children())
    else:
        expected = {getattr(layer, watched)}
        register = getattr(getattr(layer, watched), f"register_{name}_hook")
    hook = register(lambda module, *_: called.append(module))
    try:
        torch.testing.assert_close(answers(), unwatched)
    finally:
        hook.remove()
    assert expected <= set(called)
    called.clear()
    assert all(map(torch.equal, answers(), unwatched))
    assert not called


@pytest.mark.parametrize("watched", ["gate_up", "dropout", "down"])
def test_layers_with_another_forward_are_called_as_accelerate_wants_it(watched: str) -> None:
    """Its hooks replace `forward` on the instance: offloaded weights come back, tensors change devices."""

    class Doubling(ModelHook):  # type: ignore[misc] # accelerate says no types
        def post_forward(self, module: nn.Module, output: Tensor) -> Tensor:
            del module
            return 2 * output

    torch.manual_seed(0)
    layer, x = GEGLU(4, 6).double(), torch.randn(3, 4, dtype=torch.float64)
    nn.init.normal_(layer.down.weight)
    plainly = layer(x)
    add_hook_to_module(getattr(layer, watched), Doubling())
    assert not torch.allclose(layer(x), plainly)
    remove_hook_from_module(getattr(layer, watched))
    torch.testing.assert_close(layer(x), plainly)


def test_it_is_counted_without_memory() -> None:
    def flops(way: object) -> int:
        with FakeTensorMode(), FlopCounterMode(display=False) as counter:
            parts = [torch.zeros(part.shape, requires_grad=True) for part in inputs()]
            assert callable(way)
            way(*parts).sum().backward()
        return int(counter.get_total_flops())

    assert flops(portions.geglu) == flops(plain) > 0
