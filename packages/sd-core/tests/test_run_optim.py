import pytest
import torch

from sd_core.config import sections
from sd_core.errors import SdError
from sd_core.run.network import Network
from sd_core.run.optim import build_optimizers, build_schedule, set_learning_rate, warmup_notice
from sd_core.task import Condition, Conditioning, GridShape, Labels, Task
from sd_core.testing.toys import ToyDenoiser, ToyOptions


class NoCondition:
    emits = Condition()
    roles = frozenset[str]()

    def __call__(self, labels: Labels) -> Conditioning:  # noqa: ARG002
        return Conditioning()

    def null(self, count: int) -> Conditioning:  # noqa: ARG002
        return Conditioning()


def network() -> Network:
    return Network(ToyDenoiser(ToyOptions(), Task(GridShape(1, 4, 8))), NoCondition())


def test_decay_falls_on_matrices_only() -> None:
    [adamw] = build_optimizers(sections.Optimizer(weight_decay=0.1), network())
    decayed, plain = adamw.param_groups
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0.0
    assert {p.ndim for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network().parameters()))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_mapping_learns_at_a_third_of_the_rate_without_decay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = ToyDenoiser(ToyOptions(), Task(GridShape(1, 4, 8))).param_roles()
    mapped = next(parameter for parameter, role in roles.items() if role == "embedding")
    monkeypatch.setattr(ToyDenoiser, "param_roles", lambda _: {**roles, mapped: "mapping"})
    net = network()
    optimizers = build_optimizers(
        sections.Optimizer.model_validate({"name": name, "weight_decay": 0.1, "learning_rate": 3e-3}), net
    )
    slow = optimizers[-1].param_groups[-1]
    assert slow["params"] == [dict(net.named_parameters())[f"denoiser.{mapped}"]]
    assert slow["peak_lr"] == pytest.approx(1e-3)
    assert slow["weight_decay"] == 0
    assert sum(len(group["params"]) for o in optimizers for group in o.param_groups) == len(list(net.parameters()))


def test_muon_takes_the_named_matrices_and_adamw_the_rest() -> None:
    net = network()
    muon, adamw = build_optimizers(sections.Optimizer(name="muon"), net)
    assert muon.param_groups[0]["params"] == [dict(net.named_parameters())["denoiser.mix.weight"]]
    rest = [p for group in adamw.param_groups for p in group["params"]]
    assert len(rest) == len(list(net.parameters())) - 1


def test_muon_without_matrices_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ToyDenoiser, "param_roles")
    with pytest.raises(SdError, match="param_roles"):
        build_optimizers(sections.Optimizer(name="muon"), network())


def test_learning_rates_keep_their_proportion() -> None:
    optimizers = build_optimizers(sections.Optimizer(name="muon", learning_rate=1e-3), network())
    set_learning_rate(optimizers, 0.5)
    assert optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-3)
    assert optimizers[1].param_groups[0]["lr"] == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("constant_with_warmup", [1 / 11, 1, 1, 1]),
        ("linear", [1 / 11, 1, 0.5, 1 / 100]),
        ("cosine", [1 / 11, 1, 0.5, 0.5 - 0.5 * 0.99 * 0.9999]),
        ("warmup_stable_decay", [1 / 11, 1, 1, 1 / 50]),
    ],
)
def test_schedules_have_their_shape(name: str, expected: list[float]) -> None:
    options = sections.Scheduler.model_validate({"name": name, "warmup_steps": 10, "decay_fraction": 0.5})
    factor = build_schedule(options, total_steps=110)
    assert [factor(step) for step in (0, 10, 60, 109)] == pytest.approx(expected, abs=0.02)


def test_a_warmup_longer_than_the_run_is_said() -> None:
    options = sections.Scheduler(warmup_steps=100)
    assert warmup_notice(options, 101) is None
    assert "within its warm-up of 100" in (warmup_notice(options, 100) or "")
    assert warmup_notice(sections.Scheduler(name="constant", warmup_steps=100), 10) is None


def test_fused_adamw_leaves_weights_alone_when_the_flag_is_up() -> None:
    """What the guard relies on: torch's fused optimizers read `found_inf`."""
    net = network()
    [adamw] = build_optimizers(sections.Optimizer(), net)
    for p in net.parameters():
        p.grad = torch.full_like(p, float("nan"))
    before = [p.detach().clone() for p in net.parameters()]
    adamw.found_inf = torch.tensor(1.0)  # type: ignore[attr-defined]
    adamw.step()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
