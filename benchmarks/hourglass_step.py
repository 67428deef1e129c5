"""`hourglass` at the mission's size against itself with gathered keys: forward, backward and AdamW."""

from __future__ import annotations

import copy

import click
import torch

from benchmarks.neighborhood import Gathered
from benchmarks.stepping import share_of_ceiling, training_step, where_time_goes
from benchmarks.timing import bf16_is_fast, interleaved, show
from sd_core.plugin import GridShape, Task
from sd_hourglass.attention import CosineAttention
from sd_hourglass.model import Hourglass
from sd_hourglass.neighborhood import NeighborhoodAttention
from sd_hourglass.options import HourglassOptions

GOALS = {torch.float32: 6.0, torch.bfloat16: 10.0}


def gathered(network: Hourglass) -> Hourglass:
    """The same weights, with every neighborhood gathered."""
    peer = copy.deepcopy(network)
    for module in peer.modules():
        if isinstance(module, CosineAttention) and isinstance(module.core, NeighborhoodAttention):
            level = module.rope.level
            module.core = Gathered(level.rows, level.columns)
    return peer


@click.command()
@click.option("--batch", default=8, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--compile-blocks", is_flag=True, help="torch.compile each block of both.")
def main(batch: int, rounds: int, compile_blocks: bool) -> None:
    """Time both networks in fp32, and in bf16 autocast where it is fast."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ours = Hourglass(HourglassOptions(), Task(GridShape(3, 64, 64))).to(device)
    peer = gathered(ours).to(device)
    if compile_blocks:
        for network in (ours, peer):
            for block in network.block_modules():
                block.compile()
    x, target = torch.randn(2, batch, 3, 64, 64, device=device)
    t = torch.rand(batch, device=device)
    for precision, goal in GOALS.items():
        if precision == torch.bfloat16 and not bf16_is_fast(device):
            print("bf16 is left out: this processor emulates it")
            continue
        ways = {
            "sd-hourglass": training_step(ours, x, target, t, precision),
            "gathered keys": training_step(peer, x, target, t, precision),
        }
        medians = interleaved(ways, rounds)
        show(f"Hourglass, 64x64x3, batch {batch}, {precision}", medians, unit="examples", work=batch, goal=goal)
        print(share_of_ceiling(ways["sd-hourglass"], medians["sd-hourglass"], device))
        where_time_goes(ways["sd-hourglass"], device)


if __name__ == "__main__":
    main()
