import math

import pytest
import torch

from sd_core.nn.levels import InputLevel, log_power, octaves
from sd_core.task import GridShape


def noisy(scale: float, t: float) -> torch.Tensor:
    torch.manual_seed(0)
    return (1 - t) * scale * torch.randn(4, 1, 20, 2048) + t * torch.randn(4, 1, 20, 2048)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_it_reads_the_power_of_the_data_through_the_noise(t: float, scale: float) -> None:
    found = log_power(noisy(scale, t).square(), (1, 2, 3), torch.full((4,), t))
    doubt = 4 * t**2 * math.sqrt(2 / 40960) + 1e-3
    shrunk = ((1 - t) ** 2 * scale**2 + doubt) / ((1 - t) ** 2 + doubt)
    torch.testing.assert_close(found, torch.full((4, 1), math.log(shrunk)), atol=0.25, rtol=0)
    assert (float(found.mean()) > 0.1) == (scale == 2.0)
    assert (float(found.mean()) < -0.1) == (scale == 0.5)


def test_where_noise_hides_the_data_it_says_nothing() -> None:
    found = log_power(noisy(1.0, 1.0).square(), (1, 3), torch.ones(4))
    assert found.shape == (4, 20)
    assert float(found.abs().max()) < 2.0
    assert abs(float(found.mean())) < 0.5


@pytest.mark.parametrize(("shape", "features"), [((1, 20, 64), 21), ((3, 8, 8), 12), ((4, 1, 16), 5), ((1, 1, 16), 1)])
def test_one_number_in_all_and_one_per_channel_and_row(shape: tuple[int, int, int], features: int) -> None:
    level = InputLevel(GridShape(*shape), width=6)
    assert level.project.in_features == features
    assert torch.equal(level(torch.randn(2, *shape), torch.rand(2)), torch.zeros(2, 6))


def test_rows_are_told_apart() -> None:
    level = InputLevel(GridShape(1, 4, 256), width=5)
    with torch.no_grad():
        level.project.weight.copy_(torch.eye(5))
    x = torch.randn(1, 1, 4, 256)
    x[:, :, 2] *= 3
    told = level(x, torch.zeros(1))[0, 1:]
    assert int(told.argmax()) == 2
    assert float(told[2].detach()) == pytest.approx(2 * math.log(3.0), abs=0.3)


def test_octaves_cover_a_series_once_and_leave_out_its_mean() -> None:
    bands = octaves(2048)
    assert bands.sum(1).tolist() == [512, 256, 128, 64, 32, 16, 16]
    assert bands.sum(0).tolist() == [0.0] + [1.0] * 1024
    assert octaves(64).shape == (0, 33)


@pytest.mark.parametrize("t", [0.0, 0.5])
def test_the_octaves_of_a_series_are_told_apart(t: float) -> None:
    torch.manual_seed(0)
    level = InputLevel(GridShape(1, 2, 2048), width=17)
    with torch.no_grad():
        level.project.weight.copy_(torch.eye(17))
    clean = torch.randn(1, 1, 2, 2048)
    spectrum = torch.fft.rfft(clean)
    spectrum[:, :, 1, 33:65] *= 3  # the fifth octave from the top, in the second row
    loud = torch.fft.irfft(spectrum)
    told = level((1 - t) * loud + t * torch.randn_like(loud), torch.tensor([t]))[0, 3:]
    assert int(told.argmax()) == 7 + 4
    assert float(told[7 + 4].detach()) == pytest.approx(2 * math.log(3.0), abs=0.6)
    assert float(told.abs().sort().values[:-1].max().detach()) < 0.8


def test_octaves_are_filled_after_the_meta_device() -> None:
    with torch.device("meta"):
        level = InputLevel(GridShape(1, 2, 2048), width=3)
    level.to_empty(device="cpu").reset_parameters()
    assert torch.equal(level.bands, octaves(2048))
