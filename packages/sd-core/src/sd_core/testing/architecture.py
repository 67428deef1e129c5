"""What every architecture must do: subclass `ArchitectureContract` in a test module of your plugin."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from sd_core.config.sections import Lora
from sd_core.diffusion.conditioning import Unconditional
from sd_core.nn.roles import Role
from sd_core.options import NoOptions
from sd_core.run.lora import adapt, merge
from sd_core.run.network import Network
from sd_core.task import Condition, GridShape, LabelSpace, Task

if TYPE_CHECKING:
    from sd_core.protocols import Denoiser

Inputs = Mapping[str, Tensor]
"""Keyword arguments of a network: x, t and the conditions of its task."""


class ArchitectureContract:
    """Tests of an architecture; a subclass named `Test...` says which one, as small as it can be.

    Networks are woken before most tests: weights that start at zero get small values, since a
    network that returns zero passes for deterministic, independent and finite.

    Example:
        class TestMine(ArchitectureContract):
            supports = frozenset({"vector"})

            def network(self, task):
                return Mine(MineOptions(layers=2, heads=2, head_dim=8), task)
    """

    supports: ClassVar[frozenset[str]] = frozenset()
    """As in the component: a subset of {"vector", "tokens"}."""
    shapes: ClassVar[tuple[GridShape, ...]] = (GridShape(2, 7, 13), GridShape(3, 64, 64), GridShape(1, 20, 2048))
    """Grids to build for; the first is used where one is enough, and nothing should divide it."""
    bf16_tolerance: ClassVar[float] = 0.05
    """Relative deviation (root mean square) that autocast may cause."""

    def network(self, task: Task) -> Denoiser:
        """The network under test, freshly initialised."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per shape, for the tests that ask for one."""
        if "shape" in metafunc.fixturenames:
            metafunc.parametrize("shape", self.shapes, ids=str)

    def test_the_output_is_shaped_like_the_input(self, shape: GridShape) -> None:
        """At both ends of time, before and after training moved any weight."""
        task = self._task(shape)
        for network in (self._fresh(task), self._awake(task)):
            inputs = {**_inputs(task), "t": torch.tensor([0.0, 1.0])}
            out = network(**inputs)
            assert out.shape == inputs["x"].shape, f"input {tuple(inputs['x'].shape)}, output {tuple(out.shape)}"
            assert out.dtype == torch.float32, f"float32 came back as {out.dtype}"
            assert bool(out.isfinite().all()), "the output is not finite"

    def test_every_cell_of_the_input_matters(self, shape: GridShape) -> None:
        """What a network pads it crops again at the same side, and it drops nothing."""
        task = self._task(shape)
        inputs = _inputs(task)
        x = inputs["x"].requires_grad_()
        self._awake(task)(**inputs).square().sum().backward()
        assert x.grad is not None, "no gradient reaches the input"
        lost = (x.grad == 0).sum(dim=(0, 1)).nonzero().tolist()
        assert not lost, f"the output does not depend on these cells (row, column): {lost[:5]}"

    def test_every_parameter_learns(self, shape: GridShape) -> None:
        """Distributed training waits for each gradient; what a published network never uses is frozen."""
        task = self._task(shape)
        network = self._awake(task).train()
        network(**_inputs(task)).square().sum().backward()
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:
                continue
            assert parameter.grad is not None, f"{name} is not in the graph"
            assert bool(parameter.grad.any()), f"the gradient of {name} is zero everywhere"
            assert bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite"

    def test_time_matters(self) -> None:
        """Another t, another output."""
        self._assert_matters("t", lambda t: 1 - t)

    def test_the_vector_matters(self) -> None:
        """If vectors are supported, they reach the output and learn from it."""
        self._need("vector")
        self._assert_matters("vector", torch.neg)

    def test_the_tokens_matter(self) -> None:
        """If tokens are supported, they reach the output and learn from it, however many there are."""
        self._need("tokens")
        self._assert_matters("tokens", torch.neg)
        task = self._task(self.shapes[0])
        network = self._awake(task)
        for count in (1, 5):
            network(**{**_inputs(task), "tokens": torch.randn(2, count, task.condition.tokens)})

    def test_it_works_without_a_condition(self) -> None:
        """Built for none, called with none."""
        task = Task(self.shapes[0])
        assert bool(self._awake(task)(**_inputs(task)).isfinite().all()), "the output is not finite"

    def test_evaluation_repeats(self) -> None:
        """The same input gives the same output, to the bit."""
        task = self._task(self.shapes[0])
        network, inputs = self._awake(task), _inputs(task)
        assert torch.equal(network(**inputs), network(**inputs)), "two evaluations differ"

    def test_examples_of_a_batch_do_not_see_each_other(self) -> None:
        """Row 0 stays when row 1 changes."""
        task = self._task(self.shapes[0])
        network, inputs, others = self._awake(task), _inputs(task), _inputs(task, seed=2)
        mixed = {name: torch.cat([inputs[name][:1], others[name][1:]]) for name in inputs}
        torch.testing.assert_close(network(**inputs)[0], network(**mixed)[0], rtol=1e-4, atol=1e-5)

    def test_bf16_autocast_stays_near_float32(self) -> None:
        """Master weights in float32, products in bfloat16, output in float32; gradients finite."""
        task = self._task(self.shapes[0])
        network, inputs = self._awake(task), _inputs(task)
        exact = network(**inputs).detach()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(**inputs)
        assert rounded.dtype == torch.float32, f"the output under autocast is {rounded.dtype}"
        deviation = float((rounded.detach() - exact).square().mean().sqrt() / exact.square().mean().sqrt())
        assert deviation < self.bf16_tolerance, f"bf16 deviates by {deviation:.1%}"
        rounded.square().sum().backward()
        unfit = [n for n, p in network.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        assert not unfit, f"gradients not finite: {unfit[:5]}"

    def test_gradient_checkpointing_changes_nothing(self) -> None:
        """Blocks recomputed in the backward pass give the same gradients, in training mode too."""
        task = self._task(self.shapes[0])
        plain, recomputed = self._awake(task).train(), self._awake(task).train()
        for block in _blocks(recomputed):
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
        for network in (plain, recomputed):
            torch.manual_seed(3)
            network(**_inputs(task)).square().sum().backward()
        for (name, one), other in zip(plain.named_parameters(), recomputed.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, msg=f"recomputed, the gradient of {name} differs")

    def test_blocks_compile_whole(self) -> None:
        """`torch.compile` traces each block in one graph, forward and backward."""
        task = self._task(self.shapes[0])
        network, inputs = self._awake(task), _inputs(task)
        plain = network(**inputs)
        torch.compiler.reset()
        for block in _blocks(network):
            block.compile(backend="aot_eager", fullgraph=True)
        compiled = network(**inputs)
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)
        compiled.square().sum().backward()

    def test_every_parameter_has_a_role(self) -> None:
        """`param_roles` names the parameters as `named_parameters` does; matrices have two axes."""
        network = self._fresh(self._task(self.shapes[0]))
        roles: Mapping[str, str] = _optional(network, "param_roles")()
        parameters = dict(network.named_parameters())
        assert set(roles) == set(parameters), f"not both a role and a parameter: {set(roles) ^ set(parameters)}"
        strange = set(roles.values()) - set(get_args(Role))
        assert not strange, f"not roles: {strange}"
        flat = [name for name, role in roles.items() if role == "matrix" and parameters[name].ndim != 2]
        assert not flat, f"matrices without two axes: {flat}"
        bent = [name for name, role in roles.items() if role in ("matrix", "embedding") and parameters[name].ndim < 2]
        assert not bent, f"gains and biases must be vectors, or belong to the mapping: {bent}"

    def test_its_state_comes_back(self) -> None:
        """A state dict loaded into another instance makes it the same network."""
        task = self._task(self.shapes[0])
        network, other = self._awake(task), self._awake(task, seed=9)
        other.load_state_dict(network.state_dict())
        inputs = _inputs(task)
        assert torch.equal(network(**inputs), other(**inputs)), "the state dict does not hold all of the network"

    def test_it_is_built_on_the_meta_device(self) -> None:
        """Without memory at first; `reset_parameters` of its modules then fills what the state dict lacks."""
        task = self._task(self.shapes[0])
        network, inputs = self._awake(task), _inputs(task)
        with torch.device("meta"):
            hollow = self._fresh(task)
        assert all(parameter.is_meta for parameter in hollow.parameters()), "a parameter was put on another device"
        hollow.to_empty(device="cpu")
        for module in hollow.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        hollow.load_state_dict(network.state_dict())
        assert torch.equal(network(**inputs), hollow.eval()(**inputs)), "a buffer outside the state dict was not reset"

    def test_its_costs_are_counted_without_memory(self) -> None:
        """Built and run on tensors without numbers, as `sd-train --dry-run` does."""
        task, real = self._task(self.shapes[0]), _inputs(self._task(self.shapes[0]))
        with FakeTensorMode(), FlopCounterMode(display=False) as counter:
            inputs = {name: torch.zeros(value.shape) for name, value in real.items()}
            self._fresh(task)(**inputs).square().sum().backward()
        assert counter.get_total_flops() > 0, "no operation was counted"

    def test_it_says_what_core_asks(self) -> None:
        """The hint is one of two; the optional facts, where given, are true."""
        network = self._fresh(self._task(self.shapes[0]))
        hint = cast("Denoiser", network).prediction_hint
        assert hint in ("sample", "vector_field"), f"prediction_hint is {hint!r}"
        assert getattr(network, "token_count", 1) >= 1, "token_count is not a count"
        linear = [f".{name}" for name, module in network.named_modules() if isinstance(module, nn.Linear)]
        for target in getattr(network, "lora_targets", ()):
            assert any(name.endswith(f".{target}") for name in linear), f"lora_targets: no linear layer {target!r}"

    def test_adapters_change_it(self) -> None:
        """LoRA on the recommended layers: nothing at first, then felt in all of them, and merged the same."""
        pytest.importorskip("peft")
        task = self._task(self.shapes[0])
        network, inputs = self._awake(task), _inputs(task)
        _optional(network, "lora_targets")
        plain = network(**inputs)
        whole = Network(cast("Denoiser", network), Unconditional(NoOptions(), LabelSpace()))
        adapt(whole, Lora(rank=2), seed=3)
        fresh = network(**inputs)  # frozen weights may take other kernels, which round differently
        torch.testing.assert_close(fresh, plain, rtol=1e-5, atol=1e-5, msg="an adapter that begins at zero is felt")
        learned = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        with torch.no_grad():
            for parameter in learned.values():
                parameter.normal_(std=0.1)
        adapted = network(**inputs)
        adapted.square().sum().backward()
        unfelt = [name for name, parameter in learned.items() if parameter.grad is None or not parameter.grad.any()]
        assert not unfelt, f"a recommended layer's weights are used without calling the layer: {unfelt[:5]}"
        merge(whole)
        torch.testing.assert_close(network(**inputs), adapted, rtol=1e-4, atol=1e-4)

    def _task(self, shape: GridShape) -> Task:
        widths = {kind: width for kind, width in (("vector", 6), ("tokens", 10)) if kind in self.supports}
        return Task(shape, Condition(**widths))

    def _fresh(self, task: Task, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        network = self.network(task)
        assert isinstance(network, nn.Module), "an architecture is an nn.Module"
        return network.eval()

    def _awake(self, task: Task, seed: int = 0) -> nn.Module:
        network = self._fresh(task, seed)
        wake(network)
        return network

    def _need(self, kind: str) -> None:
        if kind not in self.supports:
            pytest.skip(f"does not support {kind}")

    def _assert_matters(self, name: str, change: Any) -> None:
        task = self._task(self.shapes[0])
        network, inputs = self._awake(task), dict(_inputs(task))
        inputs[name].requires_grad_()
        out = network(**inputs)
        out.square().sum().backward()
        gradient = inputs[name].grad
        assert gradient is not None, f"{name} is not in the graph"
        assert bool(gradient.any()), f"no gradient reaches {name}"
        changed = network(**{**inputs, name: change(inputs[name].detach())})
        difference = float((changed - out).detach().abs().max() / out.detach().abs().max())
        assert difference > 1e-4, f"the output hardly depends on {name}: relative change {difference:.1g}"


def wake(network: nn.Module, std: float = 0.2) -> None:
    """Give every parameter that is zero everywhere small random values, in place."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=std)


def _inputs(task: Task, seed: int = 1, count: int = 2) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        "x": torch.randn(count, *task.shape, generator=generator),
        "t": torch.rand(count, generator=generator) * 0.4 + 0.05,
    }
    if task.condition.vector:
        inputs["vector"] = torch.randn(count, task.condition.vector, generator=generator)
    if task.condition.tokens:
        inputs["tokens"] = torch.randn(count, 3, task.condition.tokens, generator=generator)
    return inputs


def _blocks(network: nn.Module) -> list[nn.Module]:
    blocks = list(_optional(network, "block_modules")())
    assert blocks, "block_modules() is empty"
    return blocks


def _optional(network: nn.Module, name: str) -> Any:
    if not hasattr(network, name):
        pytest.skip(f"has no {name}")
    return getattr(network, name)
