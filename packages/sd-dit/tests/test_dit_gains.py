"""Gains that differ from patch to patch, and what they are told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sd_core.nn.patches import Patches
from sd_core.plugin import Condition, GridShape, Task
from sd_core.testing.architecture import ArchitectureContract
from sd_dit.gains import PatchLevel
from sd_dit.model import DiT
from sd_dit.options import DiTOptions

SERIES, PICTURE = GridShape(1, 4, 256), GridShape(3, 16, 16)


class TestLocalGains(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> DiT:
        options = DiTOptions(layers=2, heads=2, head_dim=16, direct_path=True, own_filter=True, local_gains=True)
        return DiT(options, task)


def network(*, local: bool) -> DiT:
    torch.manual_seed(0)
    options = {"patch_size": ("all", 16), "layers": 1, "heads": 1, "head_dim": 16, "bottleneck": 0}
    paths = {"direct_path": True, "own_filter": True, "local_gains": local}
    return DiT(DiTOptions.model_validate(options | paths), Task(SERIES, Condition())).eval()


def waxing(count: int, seed: int = 0) -> Tensor:
    """White windows that are four times as strong in one half as in the other, whichever that is."""
    generator = torch.Generator().manual_seed(seed)
    strength = torch.full((count, *SERIES), 0.5)
    first = torch.rand(count, generator=generator) < 0.5
    strength[first, ..., :128] = 2.0
    strength[~first, ..., 128:] = 2.0
    return strength * torch.randn(count, *SERIES, generator=generator)


def test_they_start_at_zero() -> None:
    x, t = torch.randn(2, *SERIES), torch.tensor([0.2, 0.7])
    assert not network(local=True)(x, t).any()
    plain, more = network(local=False).state_dict(), network(local=True).state_dict()
    names = {"direct.gains.here.weight", "own.gains.here.weight", "patch_level.project.weight"}
    assert more.keys() - plain.keys() == names
    assert not any(more[name].any() for name in names)


@pytest.mark.parametrize("shape", [SERIES, PICTURE])
def test_the_level_of_a_patch_is_that_of_its_data_and_not_of_the_noise(shape: GridShape) -> None:
    patches = Patches.of(shape, (4, 16) if shape == SERIES else (8, 4))
    level = PatchLevel(patches, 1)
    with torch.no_grad():
        level.project.weight[:] = 1 / level.project.in_features
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 64, *shape, generator=generator)
    x0[..., : shape.width // 2] *= 3
    times = torch.full((64,), 0.3)
    found = level(patches.split(0.7 * x0 + 0.3 * noise), times).mean(0).view(patches.rows, patches.columns)
    loud, quiet = found[:, : patches.columns // 4], found[:, -patches.columns // 4 :]
    assert loud.min() > 1.5, "log 9, shrunk"
    assert quiet.abs().max() < 0.5
    silent = level(patches.split(noise), torch.ones(64))
    assert silent.mean(0).abs().max() < 0.2


def test_windows_that_wax_and_wane_are_denoised_better() -> None:
    times = torch.full((64,), 0.5)

    def error(*, local: bool) -> float:
        net = network(local=local).train()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for step in range(60):
            x0 = waxing(64, seed=step)
            noise = torch.randn(64, *SERIES, generator=torch.Generator().manual_seed(1000 + step))
            loss = (net(0.5 * x0 + 0.5 * noise, times) - x0).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert error(local=True) < 0.9 * error(local=False)
