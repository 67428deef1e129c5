"""The direct path of the diffusion transformer."""

from __future__ import annotations

import torch

from sd_core.plugin import Condition, GridShape, Task
from sd_core.testing.architecture import ArchitectureContract
from sd_dit.direct import DirectPath
from sd_dit.model import DiT
from sd_dit.options import DiTOptions

WIDE = GridShape(1, 8, 32)
NARROW = {"patch_size": ("all", 16), "layers": 1, "heads": 1, "head_dim": 16, "bottleneck": 0}


class TestDirectPath(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> DiT:
        return DiT(DiTOptions(layers=2, heads=2, head_dim=16, direct_path=True), task)


def network(*, direct: bool) -> DiT:
    torch.manual_seed(0)
    return DiT(DiTOptions.model_validate({**NARROW, "direct_path": direct}), Task(WIDE, Condition())).eval()


def test_it_starts_at_zero_and_changes_nothing_else() -> None:
    x, t = torch.randn(2, *WIDE), torch.tensor([0.2, 0.7])
    assert not network(direct=True)(x, t).any()
    plain, more = network(direct=False).state_dict(), network(direct=True).state_dict()
    assert all(torch.equal(more[name], value) for name, value in plain.items())
    assert {name.split(".")[0] for name in more.keys() - plain.keys()} == {"direct"}


def test_gains_of_one_let_everything_through() -> None:
    path, patches = DirectPath(12, 3, local=False), torch.randn(2, 5, 12)
    condition = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    with torch.no_grad():
        path.gains.everywhere.weight[:, 0] = 1
    out = path(patches, condition, torch.zeros(2, 5, 3))
    torch.testing.assert_close(out[0], patches[0])
    assert not out[1].any()


def test_it_carries_what_the_width_cannot() -> None:
    """Patches of 128 values through a width of 16: the identity is out of reach of the blocks."""
    x, t = torch.randn(64, *WIDE, generator=torch.Generator().manual_seed(1)), torch.full((64,), 0.5)

    def error(*, direct: bool) -> float:
        net = network(direct=direct).train()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(30):
            loss = (net(x, t) - x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert error(direct=True) < 0.1
    assert error(direct=False) > 0.5
