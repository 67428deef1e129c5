"""A training step of a network, what it computes, and where its time goes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import interleaved

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul"),
    "attention": ("scaled_dot_product", "flash_attention", "softmax", "sd_hourglass", "_Turned"),
    "scan": ("selective_scan", "sd_localmamba"),
    "convolution": ("conv",),
    "norms": ("rms_norm", "layer_norm", "RMSNorm"),
    "gather, copy, cat": ("index", "copy_", "cat", "gather", "scatter", "roll", "clone"),
    "optimizer": ("_fused_adamw_",),
}
"""Parts of an operator's name, by what it is for; what is left is element by element."""


def training_step(
    network: nn.Module, x: Tensor, target: Tensor, t: Tensor, precision: torch.dtype
) -> Callable[[], None]:
    """Forward, backward and fused AdamW as a function without arguments."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)

    def run() -> None:
        with torch.autocast(x.device.type, precision, enabled=precision != torch.float32):
            predicted = network(x, t)
        loss = (predicted.float() - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def share_of_ceiling(run: Callable[[], None], seconds: float, device: torch.device) -> str:
    """FLOPs of a step that matrix products need, over what this machine's products do in its time (fp32)."""
    with FlopCounterMode(display=False) as counter:
        run()
    a, b = torch.randn(2, 2048, 2048, device=device)
    ceiling = 2 * 2048**3 / interleaved({"product": lambda: a @ b}, rounds=5)["product"]
    needed = sum(
        count for operator, count in counter.get_flop_counts()["Global"].items() if _kind(str(operator)) != "scan"
    )
    return (
        f"{needed / 1e9:.1f} GFLOP in products; at the {ceiling / 1e9:.0f} GFLOP/s of a 2048-cubed product they "
        f"would take {1e3 * needed / ceiling:.0f} ms: {needed / ceiling / seconds:.0%} of the step"
    )


def where_time_goes(run: Callable[[], None], device: torch.device, rounds: int = 3) -> None:
    """Print the shares of a step's time, by kind of operator."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as recorded:
        for _ in range(rounds):
            run()
    spent: dict[str, float] = {}
    for event in recorded.key_averages():
        own = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        spent[_kind(event.key)] = spent.get(_kind(event.key), 0.0) + own
    total = sum(spent.values())
    table = Table("where the time goes", "share")
    for kind, own in sorted(spent.items(), key=lambda item: -item[1]):
        table.add_row(kind, f"{own / total:.0%}")
    Console().print(table)


def _kind(operator: str) -> str:
    kinds = (kind for kind, parts in KINDS.items() if any(part in operator for part in parts))
    return next(kinds, "element by element")
