"""Selective scan, forward and backward: each implementation against the plain recurrence, its growth, its memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.timing import interleaved, show
from sd_core.plugin import SdError
from sd_localmamba.scan.definition import scan_by_definition
from sd_localmamba.scan.selective import scan_tokens

GOALS = {"compiled": 800, "torch": 100, "triton": 100, "mamba_ssm": 100}
"""Times faster than the recurrence at 1024 positions."""
GROWTH = 2.2
"""Most time that twice the positions may take, in times."""


def inputs(  # noqa: PLR0917
    length: int, batch: int, directions: int, width: int, states: int, device: torch.device
) -> list[Tensor]:
    """As a network at its start makes them: decays 1 to N, steps around softplus(-3)."""
    tokens = (batch, directions, length)
    tensors = [
        torch.randn(*tokens, width),
        torch.randn(*tokens, width) - 3,
        -torch.arange(1.0, states + 1).expand(directions, width, states),
        torch.randn(*tokens, states),
        torch.randn(*tokens, states),
        torch.ones(directions, width),
        torch.zeros(directions, width),
    ]
    return [tensor.to(device).contiguous().requires_grad_() for tensor in tensors]


def both_ways(scan: Callable[..., Tensor], tensors: list[Tensor], **options: str) -> Callable[[], None]:
    """A forward and a backward pass as a function without arguments."""

    def run() -> None:
        scan(*tensors, **options).sum().backward()

    return run


def available(device: torch.device) -> list[str]:
    """Implementations that run here, fastest first."""
    found = []
    for backend in GOALS:
        try:
            both_ways(scan_tokens, inputs(8, 1, 1, 4, 4, device), backend=backend)()
        except SdError as error:
            print(f"left out: {error}")
        else:
            found.append(backend)
    return found


def saved(tensors: list[Tensor], backend: str) -> float:
    """Memory kept for the backward pass, in times the memory of u."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scan_tokens(*tensors, backend=backend)
    return sum(kept.values()) / tensors[0].nbytes


@click.command()
@click.option("--batch", default=1, show_default=True)
@click.option("--directions", default=1, show_default=True)
@click.option("--channels", default=384, show_default=True)
@click.option("--states", default=16, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--reference/--no-reference", default=True, help="Time the recurrence too: once, it takes a while.")
@click.option("--cpu-time", is_flag=True, help="Count the processor's seconds instead, where it is busy otherwise.")
def main(  # noqa: PLR0917
    batch: int, directions: int, channels: int, states: int, rounds: int, reference: bool, cpu_time: bool
) -> None:
    """Time every implementation that runs on this machine."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = (batch, directions, channels, states, device)
    backends = available(device)
    clock = time.process_time if cpu_time else time.perf_counter
    lengths = [256 << power for power in range(6)]
    medians: dict[int, dict[str, float]] = {}
    table = Table(title=f"batch {batch}, {directions} x {channels} channels, {states} states, {device.type}")
    for column in ("positions", *(f"{name}{what}" for name in backends for what in (" ms", " x half", " saved / u"))):
        table.add_column(column, justify="right")
    for length in lengths:
        tensors = inputs(length, *size)
        ways = {name: both_ways(scan_tokens, tensors, backend=name) for name in backends}
        medians[length] = interleaved(ways, rounds, clock=clock)
        half = medians.get(length // 2, {})
        cells = []
        for name, seconds in medians[length].items():
            growth = f"{seconds / half[name]:.2f}" if half else ""
            cells += [f"{1000 * seconds:.2f}", growth, f"{saved(tensors, name):.2f}"]
        table.add_row(str(length), *cells)
    Console(width=120).print(table)
    print(f"goal: at most {GROWTH} times the time for twice the positions\n")
    if reference:
        against_the_recurrence(inputs(1024, *size), medians[1024], clock)


def against_the_recurrence(tensors: list[Tensor], medians: dict[str, float], clock: Callable[[], float]) -> None:
    """Time it once: it takes so long that a warm-up would not show."""
    reference = interleaved({"it": both_ways(scan_by_definition, tensors)}, rounds=1, warmup=0, clock=clock)["it"]
    for name, ours in medians.items():
        ways = {name: ours, "recurrence, PyTorch's autograd": reference}
        show("1024 positions, forward + backward", ways, unit="scans", work=1, goal=GOALS[name])


if __name__ == "__main__":
    main()
