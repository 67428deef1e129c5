"""`localmamba` at the mission's size against itself without its scans: forward, backward and AdamW."""

from __future__ import annotations

import copy

import click
import torch
from torch import Tensor, nn

from benchmarks.stepping import share_of_ceiling, training_step, where_time_goes
from benchmarks.timing import interleaved, show
from sd_core.plugin import GridShape, Task
from sd_localmamba.directions import ScanOrders
from sd_localmamba.model import LocalMamba
from sd_localmamba.options import LocalMambaOptions
from sd_localmamba.ss2d import SS2D


class Unordered(ScanOrders):
    """All directions read row by row: nothing is moved."""

    def arrange(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, K, L, C)."""
        return x[:, None].expand(-1, len(self.directions), -1, -1)

    def arrange_own(self, x: Tensor) -> Tensor:
        """(B, L, K, C) -> (B, K, L, C)."""
        return x.transpose(1, 2)

    def collect(self, y: Tensor) -> Tensor:
        """(B, K, L, C) -> (B, L, C)."""
        return y.sum(1)


class Unscanned(SS2D):
    """All projections are computed, and what they would steer is left out."""

    def _scan(self, x: Tensor) -> Tensor:
        own = self.scan_proj(x).unflatten(-1, (len(self.step_proj), -1))
        step, B, C = self.orders.arrange_own(own).split(self.sizes, dim=-1)
        y: Tensor = self.orders.arrange(x) + step @ self.step_proj + (B + C).mean(-1, keepdim=True)
        return y


def without_scans(network: LocalMamba) -> nn.Module:
    """The same weights, with the scan and its re-ordering replaced by the identity."""
    peer = copy.deepcopy(network)
    for module in peer.modules():
        if isinstance(module, SS2D):
            module.__class__ = Unscanned
            module.orders.__class__ = Unordered
    return peer


@click.command()
@click.option("--batch", default=2, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option(
    "--backend", default="auto", show_default=True, help="Of the scan: auto, mamba_ssm, triton, compiled, torch."
)
@click.option("--bf16", is_flag=True, help="bf16 autocast; the scan stays in float32.")
def main(batch: int, rounds: int, backend: str, bf16: bool) -> None:
    """Time both, and say where the time goes."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = LocalMambaOptions.model_validate({"scan_backend": backend})
    ours = LocalMamba(options, Task(GridShape(3, 64, 64))).to(device)
    x, target = torch.randn(2, batch, 3, 64, 64, device=device)
    t = torch.rand(batch, device=device)
    precision = torch.bfloat16 if bf16 else torch.float32
    ways = {
        "sd-localmamba": training_step(ours, x, target, t, precision),
        "without scans": training_step(without_scans(ours), x, target, t, precision),
    }
    medians = interleaved(ways, rounds)
    show(f"LocalMamba, 64x64x3, batch {batch}, {precision}", medians, unit="examples", work=batch, goal=0.25)
    print(share_of_ceiling(ways["sd-localmamba"], medians["sd-localmamba"], device))
    where_time_goes(ways["sd-localmamba"], device)


if __name__ == "__main__":
    main()
