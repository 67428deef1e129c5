"""The architecture contract finds what is wrong with a network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sd_core.nn.patches import Patches
from sd_core.nn.roles import Role, parameter_roles
from sd_core.plugin import GridShape, Task
from sd_core.testing.architecture import ArchitectureContract

SHAPE = GridShape(2, 7, 13)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.linear(hidden)
        return out


class Choosy(Block):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) if float(hidden.detach().mean()) < 1e9 else hidden


class Honest(nn.Module):
    """The smallest network that keeps the contract: one linear block on patches."""

    prediction_hint = "sample"
    lora_targets = ("block.linear",)
    scale: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.patches = Patches.of(task.shape, (4, 4))
        self.token_count = self.patches.count
        values = self.patches.values
        self.block = Block(values)
        self.vector_in = nn.Linear(task.condition.vector, values) if task.condition.vector else None
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def reset_parameters(self) -> None:
        self.scale.fill_(1.0)

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        hidden = self.patches.split(x) * (self.scale + t[:, None, None])
        if self.vector_in is not None and vector is not None:
            hidden = hidden + self.vector_in(vector)[:, None]
        return self.patches.join(self.block(hidden)).to(x.dtype)

    def block_modules(self) -> list[nn.Module]:
        return [self.block]

    def param_roles(self) -> dict[str, Role]:
        return parameter_roles(self, matrices=[self.block.linear])


class Timeless(Honest):
    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        return super().forward(x, torch.zeros_like(t), vector)


class Unconditional(Honest):
    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        return super().forward(x, t, None if vector is None else torch.zeros_like(vector))


class Cropping(Honest):
    """Zeroes the last column of the input: a padding on one side, cropped on the other."""

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        return super().forward(torch.cat([x[..., :-1], torch.zeros_like(x[..., :1])], dim=-1), t, vector)


class BatchNormed(Honest):
    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        return super().forward(x - x.mean(dim=0, keepdim=True), t, vector)


class Restless(Honest):
    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        return super().forward(x + 0.01 * torch.randn_like(x), t, vector)


class DeadWeight(Honest):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.unused = nn.Parameter(torch.ones(3))


class Half(Honest):
    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None) -> Tensor:
        return super().forward(x, t, vector).bfloat16()


class Forgetful(Honest):
    """A random buffer that the state dict does not hold."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.scale = torch.rand(()) + 1


class Hollow(Honest):
    def reset_parameters(self) -> None:
        self.scale.fill_(2.0)


class Roleless(Honest):
    def param_roles(self) -> dict[str, Role]:
        return {name: role for name, role in super().param_roles().items() if name != "block.linear.bias"}


class Breaking(Honest):
    """The path that its block takes depends on the values that pass."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.block = Choosy(self.patches.values)


class Mislabelled(Honest):
    prediction_hint = "noise"


def contract(network: type[Honest]) -> ArchitectureContract:
    class Contract(ArchitectureContract):
        supports = frozenset({"vector"})
        shapes = (SHAPE,)

        def network(self, task: Task) -> Any:
            return network(task)

    return Contract()


TESTS = [name for name in vars(ArchitectureContract) if name.startswith("test_")]


def run(network: type[Honest], test: str) -> None:
    method = getattr(contract(network), test)
    method(SHAPE) if "shape" in ArchitectureContract.__dict__[test].__code__.co_varnames[:2] else method()


@pytest.mark.parametrize("test", [name for name in TESTS if name != "test_the_tokens_matter"])
def test_an_honest_network_passes(test: str) -> None:
    run(Honest, test)


@pytest.mark.parametrize(
    ("network", "test"),
    [
        (Timeless, "test_time_matters"),
        (Unconditional, "test_the_vector_matters"),
        (Cropping, "test_every_cell_of_the_input_matters"),
        (BatchNormed, "test_examples_of_a_batch_do_not_see_each_other"),
        (Restless, "test_evaluation_repeats"),
        (Restless, "test_its_state_comes_back"),
        (DeadWeight, "test_every_parameter_learns"),
        (Half, "test_the_output_is_shaped_like_the_input"),
        (Half, "test_bf16_autocast_stays_near_float32"),
        (Forgetful, "test_its_state_comes_back"),
        (Hollow, "test_it_is_built_on_the_meta_device"),
        (Roleless, "test_every_parameter_has_a_role"),
        (Mislabelled, "test_it_says_what_core_asks"),
    ],
)
def test_a_fault_is_found(network: type[Honest], test: str) -> None:
    with pytest.raises(AssertionError):
        run(network, test)


def test_a_graph_break_is_found() -> None:
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        run(Breaking, "test_blocks_compile_whole")


def test_what_is_not_offered_is_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="tokens"):
        run(Honest, "test_the_tokens_matter")
