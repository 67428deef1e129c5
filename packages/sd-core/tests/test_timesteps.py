import pytest
import torch

from sd_core.diffusion.timesteps import MARGIN, logit_normal, mode, stratify, uniform

QUANTILES = torch.linspace(MARGIN, 1 - MARGIN, 20_001, dtype=torch.float64)


def test_each_stratum_holds_exactly_one_quantile() -> None:
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(64, generator=random)
    quantiles = stratify(torch.rand(64, generator=random), order)
    assert torch.equal((quantiles * 64).long(), order)


def test_a_process_takes_its_share_of_the_global_strata() -> None:
    random = torch.Generator().manual_seed(0)
    order, jitter = torch.randperm(8, generator=random), torch.rand(8, generator=random)
    shares = [stratify(jitter[rows], order[rows], strata=8) for rows in (slice(0, 3), slice(3, 8))]
    assert torch.equal(torch.cat(shares), stratify(jitter, order))


def test_quantiles_stay_away_from_both_ends_in_float32_too() -> None:
    ends = stratify(torch.tensor([0.0, 1 - 2**-24]), torch.tensor([0, 1])).float()
    assert ends[0] > 0
    assert ends[1] < 1
    assert bool(torch.special.ndtri(ends).isfinite().all())


def test_logit_normal_is_the_inverse_of_its_distribution() -> None:
    t = logit_normal(QUANTILES, 0.8, 0.8)
    torch.testing.assert_close(torch.special.ndtr((torch.logit(t) - 0.8) / 0.8), QUANTILES, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.29, 1.75])
def test_mode_is_monotone_from_0_to_1_and_symmetric(scale: float) -> None:
    t = mode(QUANTILES, scale)
    assert bool((t.diff() > 0).all())
    assert t[0].item() == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(t + t.flip(0), torch.ones_like(t))


def test_mode_is_equation_20_read_backwards() -> None:
    u = 1 - QUANTILES
    paper = 1 - u - 1.29 * (torch.cos(torch.pi / 2 * u) ** 2 - 1 + u)
    torch.testing.assert_close(mode(QUANTILES, 1.29), paper)


def test_positive_scales_draw_to_the_middle() -> None:
    def share(t: torch.Tensor) -> float:
        return ((t - 0.5).abs() < 0.25).double().mean().item()

    assert share(mode(QUANTILES, 1.29)) > share(uniform(QUANTILES)) + 0.1
    assert share(uniform(QUANTILES)) > share(mode(QUANTILES, -1.0)) + 0.1
