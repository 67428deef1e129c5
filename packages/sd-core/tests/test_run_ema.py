import pytest
import torch
from torch import nn

from sd_core.errors import SdError
from sd_core.run.ema import Average, Averages, power_exponent


def test_exponents_are_those_of_the_paper() -> None:
    """EDM2 (arXiv 2312.02696): relative widths 0.05 and 0.10 belong to gamma 16.97 and 6.94."""
    assert power_exponent(0.05) == pytest.approx(16.97, abs=0.01)
    assert power_exponent(0.10) == pytest.approx(6.94, abs=0.01)


def test_profile_has_the_width_it_is_named_after() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = Average("0.1", network, width=0.1, decay=None)
    steps = 4000
    weight = [1.0] * steps
    kept = 1.0
    for step in range(steps, 0, -1):
        weight[step - 1] = (1 - average.keep(step)) * kept
        kept *= average.keep(step)
    w = torch.tensor(weight, dtype=torch.float64)
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    mean = (w * t).sum() / w.sum()
    sd = ((w * (t - mean) ** 2).sum() / w.sum()).sqrt()
    assert float(w.sum()) == pytest.approx(1, abs=1e-9)
    assert float(sd) == pytest.approx(0.1, rel=0.01)


def test_first_step_takes_the_weights_as_they_are() -> None:
    network = nn.Linear(2, 2)
    averages = Averages(network, (0.1,), None)
    with torch.no_grad():
        network.weight.fill_(3.0)
    averages.update(1)
    assert torch.equal(averages.all[0].state()["weight"], torch.full((2, 2), 3.0))


def test_plain_decay_replaces_profiles() -> None:
    averages = Averages(nn.Linear(2, 2), (0.05, 0.1), 0.999)
    assert [average.name for average in averages.all] == ["0.999"]
    assert averages.all[0].keep(10**6) == 0.999
    assert averages.all[0].keep(1) < 0.2


def test_applied_puts_the_average_in_and_the_weights_back() -> None:
    network = nn.Linear(2, 2)
    averages = Averages(network, (0.1,), None)
    before = network.weight.detach().clone()
    averages.all[0].weights[0].fill_(7.0)
    with averages.applied():
        assert torch.equal(network.weight, torch.full((2, 2), 7.0))
    assert torch.equal(network.weight, before)


def test_an_average_of_another_network_is_refused() -> None:
    state = Average("0.1", nn.Linear(2, 2), width=0.1, decay=None).state()
    with pytest.raises(SdError, match="another network"):
        Average("0.1", nn.Conv1d(2, 2, 1, bias=False), width=0.1, decay=None).load(state)
