"""What the blocks of an hourglass are told: everything that is known, in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sd_core.nn.conditioning import MappedCondition, given
from sd_core.task import Condition, GridShape, Task

TASK = Task(GridShape(2, 4, 6), Condition(vector=3, tokens=5))


class Mean(nn.Linear):
    """The simplest pooling."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.mean(1))


def condition() -> MappedCondition:
    torch.manual_seed(0)
    module = MappedCondition(TASK, 8, features=16, depth=1, hidden=12, pooling=Mean(5, 8))
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def inputs() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, 2, 4, 6), torch.rand(2), torch.randn(2, 3), torch.randn(2, 7, 5)]


@pytest.mark.parametrize("part", range(4), ids=["x", "t", "vector", "tokens"])
def test_every_input_is_told(part: int) -> None:
    module, changed = condition(), inputs()
    changed[part] = changed[part].flip(0)
    assert not torch.allclose(module(*inputs())[0], module(*changed)[0], rtol=1e-2)


def test_autocast_rounds_nothing() -> None:
    module = condition()
    exact = module(*inputs())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(*inputs()), exact)


def test_a_condition_that_is_not_passed_is_a_bug_of_the_caller() -> None:
    x, t, vector, tokens = inputs()
    assert given(vector, "vector") is vector
    with pytest.raises(ValueError, match="by vector and got none"):
        condition()(x, t, None, tokens)
    with pytest.raises(ValueError, match="by tokens and got none"):
        condition()(x, t, vector)
