"""Two ways of doing one thing, timed in turns in one process; medians and their ratio."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each way; turns alternate, so that a busy moment hits both alike.

    `time.process_time` as the clock counts the processor's seconds, of all threads together.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warmup + rounds):
        for name, way in ways.items():
            start = clock()
            way()
            _finish()
            if number >= warmup:
                seconds[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def bf16_is_fast(device: torch.device) -> bool:
    """Whether bf16 products are worth timing: processors without them emulate, some 80 times slower."""
    if device.type != "cpu":
        return True
    a, b = torch.randn(2, 256, 256)
    low = a.bfloat16(), b.bfloat16()
    medians = interleaved({"fp32": lambda: a @ b, "bf16": lambda: low[0] @ low[1]}, rounds=5)
    return medians["bf16"] < 2 * medians["fp32"]


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def show(title: str, medians: Mapping[str, float], *, unit: str, work: float, goal: float) -> None:
    """Print a table: the first way is ours, the second what it is compared with.

    Args:
        title: What was done.
        medians: Seconds by way.
        unit: What `work` counts, such as "windows".
        work: How much one turn does.
        goal: Throughput of ours over the other's that is aimed at.
    """
    print(f"{title}\n{torch.get_num_threads()} threads, torch {torch.__version__}")
    table = Table()
    for column in ("", "median", f"{unit}/s", "ratio"):
        table.add_column(column, justify="left" if not column else "right")
    reference = list(medians.values())[1]
    for name, seconds in medians.items():
        table.add_row(name, f"{1000 * seconds:.2f} ms", f"{work / seconds:,.1f}", f"{reference / seconds:.2f}")
    Console(width=max(100, Console().width)).print(table)
    ours = reference / next(iter(medians.values()))
    print(f"goal: ratio >= {goal:g}: {'reached' if ours >= goal else 'MISSED'}\n")
    sys.stdout.flush()
