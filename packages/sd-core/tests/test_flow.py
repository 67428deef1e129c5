# ruff: noqa: ARG002, ARG005 - fake networks take what the protocol passes
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sd_core.diffusion.flow import Flow, point
from sd_core.diffusion.options import FlowOptions
from sd_core.testing.objective import ObjectiveContract


class TestVectorField(ObjectiveContract):
    def objective(self) -> Flow:
        return Flow(FlowOptions(prediction_type="vector_field"))

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return noise - x0


class TestSample(ObjectiveContract):
    def objective(self) -> Flow:
        return Flow(FlowOptions(prediction_type="sample"))

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return x0


class TestEpsilon(ObjectiveContract):
    def objective(self) -> Flow:
        return Flow(FlowOptions(prediction_type="epsilon", timestep_sampling="mode"))

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return noise


class TestVPrediction(ObjectiveContract):
    def objective(self) -> Flow:
        return Flow(FlowOptions(prediction_type="v_prediction"))

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return ((1 - t) * noise - t * x0) / ((1 - t) ** 2 + t**2).sqrt()


@pytest.mark.parametrize("t", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_silent_v_prediction_is_the_best_linear_denoiser_of_white_data(t: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 1, 1, 1, 20_000, generator=generator)
    flow, times = Flow(FlowOptions(prediction_type="v_prediction")), torch.tensor([t])
    xt = point(x0, noise, times)
    endpoint = xt - t * flow.velocity(lambda x, t: torch.zeros_like(x), xt, times)
    torch.testing.assert_close(endpoint, (1 - t) / ((1 - t) ** 2 + t**2) * xt)
    target = ((1 - t) * noise - t * x0) / ((1 - t) ** 2 + t**2) ** 0.5
    assert (target * xt).mean().abs() < 0.02
    assert target.std() == pytest.approx(1, abs=0.02)


def test_path_goes_from_data_to_noise() -> None:
    x0, noise = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    t = torch.tensor([0.0, 0.25, 1.0])
    assert point(x0, noise, t)[:, 0, 0, 0].tolist() == [0.0, 0.25, 1.0]


def test_the_loss_is_the_mean_square_of_the_velocity_error() -> None:
    x0, noise = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    flow = Flow(FlowOptions(prediction_type="vector_field"))
    loss = flow.loss(lambda x, t: torch.ones_like(x), x0, noise, torch.tensor([0.3, 0.6]))
    assert loss.tolist() == [4.0, 4.0]


@pytest.mark.parametrize(("prediction", "t"), [("sample", 0.0), ("sample", 0.01), ("epsilon", 1.0), ("epsilon", 0.99)])
def test_the_clamp_is_the_same_in_the_loss_and_in_sampling(prediction: str, t: float) -> None:
    x0, noise = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    flow, times = Flow(FlowOptions.model_validate({"prediction_type": prediction})), torch.tensor([t])
    xt = point(x0, noise, times)
    # A network that is off by 1 from x_t: its velocity is 1 / .05, never more.
    velocity = flow.velocity(lambda x, t: x - 1, xt, times)
    assert velocity.abs().item() == pytest.approx(20)
    loss = flow.loss(lambda x, t: x - 1, x0, noise, times)
    assert loss.item() == pytest.approx((velocity.item() - 1) ** 2)


def test_defaults_of_sample_prediction_look_nearer_noise() -> None:
    half = torch.tensor([0.5])
    medians = {
        kind: Flow(FlowOptions.model_validate({"prediction_type": kind})).timesteps(half).item()
        for kind in ("vector_field", "sample", "epsilon")
    }
    assert medians["vector_field"] == medians["epsilon"] == 0.5
    assert medians["sample"] == pytest.approx(torch.sigmoid(torch.tensor(0.8)).item())


def test_extras_overrule_the_defaults() -> None:
    options = FlowOptions(prediction_type="sample", t_mean=-0.4)
    assert Flow(options).timesteps(torch.tensor([0.5])).item() == pytest.approx(0.401, abs=1e-3)
    wide = FlowOptions(prediction_type="sample", t_std=3.0)
    assert Flow(wide).timesteps(torch.tensor([0.05])).item() < 0.02


def test_mode_scale_of_zero_is_uniform() -> None:
    quantiles = torch.linspace(0.01, 0.99, 9)
    flat = FlowOptions(prediction_type="sample", timestep_sampling="mode", mode_scale=0.0)
    uniform = FlowOptions(prediction_type="sample", timestep_sampling="uniform")
    torch.testing.assert_close(Flow(flat).timesteps(quantiles), quantiles)
    torch.testing.assert_close(Flow(uniform).timesteps(quantiles), quantiles)


def test_auto_and_unknown_hints_never_reach_the_objective() -> None:
    with pytest.raises(ValueError, match="prediction_hint"):
        Flow(FlowOptions())
    with pytest.raises(ValueError, match="'velocity'"):
        Flow(FlowOptions().model_copy(update={"prediction_type": "velocity"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_weighting": "min_snr"}, "variance-preserving"),
        ({"timestep_sampling": "uniform", "t_mean": 0.5}, "t_mean belongs to timestep_sampling = 'logit_normal'"),
        ({"mode_scale": 1.0}, "mode_scale belongs to timestep_sampling = 'mode'"),
        ({"timestep_sampling": "mode", "mode_scale": 2.0}, "less than or equal to 1.75"),
        ({"t_std": 0.0}, "greater than 0"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FlowOptions.model_validate(options)
