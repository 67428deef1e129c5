# ruff: noqa: ARG002 - a fake velocity takes what the protocol passes
from typing import get_args

import pytest
import torch
from torch import Tensor

from sd_core.config.sections import GuidanceKind
from sd_core.diffusion.guidance import GUIDANCE, Strength, guide


class Constant:
    """A velocity that counts its evaluations."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.count = 0

    def __call__(self, x: Tensor, t: float, t_next: float) -> Tensor:
        self.count += 1
        return torch.full_like(x, self.value)


@pytest.mark.parametrize(
    ("scale", "t", "expected", "evaluations"),
    [
        (1.0, 0.5, 3.0, (1, 0)),
        (0.0, 0.5, 1.0, (0, 1)),
        (2.5, 0.5, 6.0, (1, 1)),
        (2.5, 0.2, 6.0, (1, 1)),
        (2.5, 0.8, 6.0, (1, 1)),
        (2.5, 0.19, 3.0, (1, 0)),
        (2.5, 0.81, 3.0, (1, 0)),
        (0.0, 0.81, 3.0, (1, 0)),
    ],
)
def test_cfg_and_what_it_costs(scale: float, t: float, expected: float, evaluations: tuple[int, int]) -> None:
    conditional, unconditional = Constant(3.0), Constant(1.0)
    velocity = guide("cfg")(conditional, unconditional, Strength(scale, (0.2, 0.8)))
    result = velocity(torch.zeros(2, 1, 1, 1), t, t - 0.1)
    assert result.flatten().tolist() == [expected, expected]
    assert (conditional.count, unconditional.count) == evaluations


def test_without_a_condition_there_is_nothing_to_guide() -> None:
    alone = Constant(3.0)
    assert guide("cfg")(alone, None, Strength(1.0)) is alone
    assert guide("cfg")(alone, None, Strength(2.0)) is alone


def test_every_kind_that_a_config_may_name_is_there() -> None:
    assert tuple(GUIDANCE) == get_args(GuidanceKind)
