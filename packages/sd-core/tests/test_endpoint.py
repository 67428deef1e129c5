# ruff: noqa: ARG002, ARG005 - fake networks take what the protocol passes
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sd_core.diffusion.endpoint import Endpoint
from sd_core.diffusion.flow import Flow
from sd_core.diffusion.options import FlowOptions
from sd_core.testing.objective import ObjectiveContract

TERMS = ("endpoint_l1", "endpoint_moments", "endpoint_variation", "endpoint_correlation")


def flow(extras: dict[str, float], prediction: str = "sample") -> Flow:
    return Flow(FlowOptions.model_validate({"prediction_type": prediction, **extras}))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def endpoint(term: str, predicted: Tensor, x0: Tensor, t: float = 0.0) -> Tensor:
    loss = Endpoint(FlowOptions.model_validate({term: 1.0}))
    return loss(predicted, x0, torch.full((len(x0),), t))


class TestWithAllFour(ObjectiveContract):
    def objective(self) -> Flow:
        return flow(dict.fromkeys(TERMS, 1e-3))  # small: what rounding leaves is not squared in them

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return x0


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("x0", [draw(2, 1, 4, 32), torch.zeros(2, 1, 4, 32), draw(2, 1, 4, 1)])
def test_nothing_is_lost_at_the_true_endpoint(term: str, x0: Tensor) -> None:
    torch.testing.assert_close(endpoint(term, x0.clone(), x0), torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("start", [draw(2, 1, 4, 32, seed=1), torch.zeros(2, 1, 4, 32)])
def test_gradients_lead_towards_the_endpoint(term: str, start: Tensor) -> None:
    x0, x = draw(2, 1, 4, 32), start.clone().requires_grad_()
    before = endpoint(term, x, x0).sum()
    (slope,) = torch.autograd.grad(before, x)
    assert slope.isfinite().all()
    after = endpoint(term, (x - 1e-3 * slope / slope.norm().clamp(min=1e-9)).detach(), x0).sum()
    assert after < before if slope.any() else not start.any()


@pytest.mark.parametrize(
    ("term", "change", "lost"),
    [
        ("endpoint_l1", lambda x: x + 2, 2.0),
        ("endpoint_moments", lambda x: x + 2, 2.0),
        ("endpoint_moments", lambda x: 3 * x, 2.0),
        ("endpoint_moments", lambda x: x.flip(-1), 0.0),
        ("endpoint_variation", lambda x: x + 2, 0.0),
        ("endpoint_variation", lambda x: 3 * x, 4.0),
        ("endpoint_correlation", lambda x: 3 * x + 2, 0.0),
        ("endpoint_correlation", lambda x: -x, 2.0),
    ],
)
def test_every_loss_sees_what_it_is_named_after(term: str, change: Callable[[Tensor], Tensor], lost: float) -> None:
    x0 = torch.tensor([1.0, -1.0]).repeat(16).expand(2, 1, 4, 32)
    torch.testing.assert_close(endpoint(term, change(x0), x0), torch.full((2,), lost), atol=1e-4, rtol=0)


def test_rows_are_looked_at_one_by_one() -> None:
    x0 = draw(1, 1, 2, 64)
    swapped = x0.flip(-2)
    assert all(endpoint(term, swapped, x0) > 0.01 for term in TERMS)


@pytest.mark.parametrize("fade", [0.0, 1.0, 2.0])
def test_endpoints_count_less_in_noise(fade: float) -> None:
    loss = Endpoint(FlowOptions(endpoint_l1=1.0, endpoint_fade=fade))
    found = loss(torch.ones(3, 1, 2, 8), torch.zeros(3, 1, 2, 8), torch.tensor([0.0, 0.5, 1.0]))
    assert found.tolist() == [1.0, 0.5**fade, 0.0**fade]


@pytest.mark.parametrize("prediction", ["sample", "vector_field", "epsilon"])
@pytest.mark.parametrize("t", [0.01, 0.5, 0.99])
def test_the_endpoint_is_where_the_velocity_leads(prediction: str, t: float) -> None:
    x0, noise, times = draw(2, 1, 4, 32), draw(2, 1, 4, 32, seed=1), torch.full((2,), t)
    plain, more = flow({}, prediction), flow({"endpoint_l1": 2.0, "endpoint_fade": 0.0}, prediction)

    def network(x: Tensor, t: Tensor) -> Tensor:
        return 0.7 * x

    xt = (1 - t) * x0 + t * noise
    off = (xt - t * plain.velocity(network, xt, times) - x0).abs().mean((1, 2, 3))
    added = more.loss(network, x0, noise, times) - plain.loss(network, x0, noise, times)
    torch.testing.assert_close(added, 2 * off, atol=1e-5, rtol=1e-4)


def test_without_weights_the_loss_is_the_same_to_the_bit() -> None:
    x0, noise, t = draw(4, 1, 4, 32), draw(4, 1, 4, 32, seed=1), torch.tensor([0.01, 0.3, 0.7, 0.99])
    predicted = draw(4, 1, 4, 32, seed=2)
    velocity = ((1 - t.view(4, 1, 1, 1)) * x0 + t.view(4, 1, 1, 1) * noise - predicted) / t.clamp(min=0.05)[
        :, None, None, None
    ]
    before = (velocity - (noise - x0)).square().flatten(1).mean(1)
    zeros = dict.fromkeys(TERMS, 0.0)
    assert torch.equal(flow(zeros).loss(lambda x, t: predicted, x0, noise, t), before)
    assert not torch.equal(flow({"endpoint_l1": 0.1}).loss(lambda x, t: predicted, x0, noise, t), before)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("term", TERMS)
def test_weights_are_finite_and_not_negative(term: str, value: float) -> None:
    with pytest.raises(ValidationError, match=term):
        FlowOptions.model_validate({term: value})


def test_a_fade_without_a_loss_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"endpoint_fade fades endpoint_l1, .*; give one of them a weight"):
        FlowOptions(endpoint_fade=2.0)


@pytest.mark.parametrize("extras", [{}, {"endpoint_l1": 0.1}, {"endpoint_l1": 0.1, "endpoint_fade": 0.0}])
def test_a_stored_run_says_what_it_was_told(extras: dict[str, float]) -> None:
    options = FlowOptions.model_validate(extras)
    stored = options.model_dump(exclude_none=True)  # a run.toml holds every key that has a value
    assert FlowOptions.model_validate(stored) == options
    faded = Endpoint(FlowOptions.model_validate({"endpoint_l1": 1.0}))
    assert faded(torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), torch.tensor([0.75])).tolist() == [0.25]
