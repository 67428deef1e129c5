"""`dit` at the mission's width against diffusers' DiT at equal precision: forward, backward and AdamW."""

from __future__ import annotations

from typing import Any

import click
import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor, nn

from benchmarks.stepping import training_step
from benchmarks.timing import bf16_is_fast, interleaved, show
from sd_core.plugin import GridShape, Task
from sd_dit.model import DiT
from sd_dit.options import DiTOptions

HEADS, HEAD_DIM = 16, 72


class Peer(nn.Module):
    """diffusers' class as this project would have to call it: thousandths of t, one class."""

    def __init__(self, layers: int, patch: int, size: int) -> None:
        super().__init__()
        untyped: Any = DiTTransformer2DModel
        self.network: Any = untyped(
            num_attention_heads=HEADS,
            attention_head_dim=HEAD_DIM,
            in_channels=3,
            num_layers=layers,
            sample_size=size,
            patch_size=patch,
            num_embeds_ada_norm=1,
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """X (B, 3, H, W), t (B,) in [0, 1]."""
        labels = torch.zeros(len(x), dtype=torch.long, device=x.device)
        predicted: Tensor = self.network(x, (1000 * t).long(), class_labels=labels).sample
        return predicted


@click.command()
@click.option("--layers", default=4, show_default=True, help="Blocks; the ratio hardly depends on them.")
@click.option("--patch", default=4, show_default=True, help="Side of a patch of the 64 x 64 grid.")
@click.option("--batch", default=1, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--compile-blocks", is_flag=True, help="torch.compile each block of both.")
def main(layers: int, patch: int, batch: int, rounds: int, compile_blocks: bool) -> None:
    """Time both networks in fp32 and in bf16 autocast."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = DiTOptions(layers=layers, heads=HEADS, head_dim=HEAD_DIM, patch_size=(patch, patch))
    ours = DiT(options, Task(GridShape(3, 64, 64))).to(device)
    peer = Peer(layers, patch, 64).to(device)
    if compile_blocks:
        for block in [*ours.block_modules(), *peer.network.transformer_blocks]:
            block.compile()
    x, target = torch.randn(2, batch, 3, 64, 64, device=device)
    t = torch.rand(batch, device=device)
    precisions = {"fp32": torch.float32, "bf16 autocast": torch.bfloat16}
    if not bf16_is_fast(device):
        print("bf16 is left out: this processor emulates it")
        del precisions["bf16 autocast"]
    for name, precision in precisions.items():
        ways = {
            "sd-dit": training_step(ours, x, target, t, precision),
            "diffusers": training_step(peer, x, target, t, precision),
        }
        sizes = " / ".join(f"{sum(p.numel() for p in n.parameters()) / 1e6:.1f} M" for n in (ours, peer))
        title = f"DiT {layers} x {HEADS * HEAD_DIM}, 64x64x3, patch {patch}, batch {batch}, {name}, {sizes} parameters"
        show(title, interleaved(ways, rounds), unit="examples", work=batch, goal=1.0)


if __name__ == "__main__":
    main()
