"""Neighborhood attention against the two ways to write it without a kernel: gathered keys, and a dense mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import bf16_is_fast, interleaved, show
from sd_hourglass.neighborhood import Backend, NeighborhoodAttention, has_natten
from sd_hourglass.tilings import grid_tiling, neighborhood_axis

KERNEL, HEAD_DIM = 7, 64
SCALE = HEAD_DIM**-0.5
CASES = ((4, 32, 32, 1, 10.0, 3.0), (4, 16, 16, 2, 10.0, 1.0), (1, 20, 256, 1, 10.0, 15.0))
"""Batch, rows, columns, heads; how many times faster than gathered and than dense we want to be."""


class Gathered(nn.Module):
    """Every query's own copy of the keys and values of its window."""

    keys: Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        tiles = grid_tiling(neighborhood_axis(rows, KERNEL, 1), neighborhood_axis(columns, KERNEL, 1), columns)
        self.register_buffer("keys", tiles.keys)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, scale: float = SCALE) -> Tensor:
        """Of (B, rows, columns, heads, head_dim)."""
        keys, values = (part.flatten(1, 2)[:, self.keys] for part in (key, value))
        weights = (torch.einsum("bqhd,bqnhd->bqhn", query.flatten(1, 2), keys) * scale).softmax(-1)
        return torch.einsum("bqhn,bqnhd->bqhd", weights, values).view_as(query)


class Dense(nn.Module):
    """All queries with all keys, and a mask."""

    mask: Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        keys = Gathered(rows, columns).keys
        mask = torch.full((rows * columns, rows * columns), -torch.inf)
        self.register_buffer("mask", mask.scatter(1, keys, 0.0))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Of (B, rows, columns, heads, head_dim)."""
        query, key, value = (part.flatten(1, 2).transpose(1, 2) for part in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, self.mask.to(value.dtype), scale=SCALE)
        return out.transpose(1, 2)


def step(attend: Callable[..., Tensor], parts: tuple[Tensor, ...], weights: Tensor) -> Callable[[], None]:
    """Forward and backward as a function without arguments."""

    def run() -> None:
        torch.autograd.grad(attend(*parts).reshape(weights.shape), parts, weights)

    return run


def ways(rows: int, columns: int, device: torch.device) -> dict[str, Callable[..., Tensor]]:
    """Ours first; on CUDA each of its backends too."""

    def ours(backend: Backend) -> Callable[..., Tensor]:
        attention = NeighborhoodAttention(rows, columns, KERNEL, backend=backend).to(device)
        return lambda query, key, value: attention(query, key, value, SCALE)

    gathered, dense = Gathered(rows, columns).to(device), Dense(rows, columns).to(device)
    all_ways: dict[str, Callable[..., Tensor]] = {"ours": ours("auto"), "gathered": gathered, "dense": dense}
    if device.type == "cuda":
        all_ways |= {name: ours(name) for name in get_args(Backend)[1:] if name != "natten" or has_natten()}
    return all_ways


def compare(case: tuple[int, int, int, int, float, float], precision: torch.dtype, rounds: int) -> None:
    """One grid: times, and the two ratios."""
    batch, rows, columns, heads, over_gathered, over_dense = case
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    *parts, weights = torch.randn(4, batch, rows, columns, heads, HEAD_DIM, device=device, dtype=precision)
    inputs = tuple(part.requires_grad_() for part in parts)
    runs = {name: step(way, inputs, weights) for name, way in ways(rows, columns, device).items()}
    medians = interleaved(runs, rounds)
    title = f"neighborhood {KERNEL} x {KERNEL} on {batch} x {rows}x{columns}, {heads} x {HEAD_DIM}, {precision}"
    for peer, goal in (("gathered", over_gathered), ("dense", over_dense)):
        others = [name for name in medians if name not in ("ours", "gathered", "dense")]
        table = {name: medians[name] for name in ("ours", peer, *others)}
        show(f"{title}, against {peer}", table, unit="examples", work=batch, goal=goal)


@click.command()
@click.option("--rounds", default=15, show_default=True)
def main(rounds: int) -> None:
    """Forward and backward in fp32, and in bf16 where the processor has it."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precisions = [torch.float32, *([torch.bfloat16] if bf16_is_fast(device) else [])]
    for precision in precisions:
        for case in CASES:
            compare(case, precision, rounds)


if __name__ == "__main__":
    main()
