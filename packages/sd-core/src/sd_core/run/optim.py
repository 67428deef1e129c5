"""Optimizers and the learning rate as a function of the step. Plain tables, not hooks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from sd_core.config import sections
from sd_core.errors import SdError
from sd_core.run.muon import CpuMuon
from sd_core.run.network import Network

Schedule = Callable[[int], float]
MAPPING_RATE = 1 / 3
"""Learning rate of a mapping network, as a share of the others' (HDiT, Crowson 2024)."""


def build_optimizers(options: sections.Optimizer, network: Network) -> list[Optimizer]:
    """The optimizers of a run: one, or with "muon" two (matrices, the rest).

    Weight decay falls on matrices and embeddings, never on gains, biases and the mapping. Each parameter
    group keeps its peak learning rate under "peak_lr"; the mapping's is `MAPPING_RATE` of the others'.

    Raises:
        SdError: "muon" for a network that names no matrices, or a missing library.
    """
    return _OPTIMIZERS[options.name](options, network)


def _adamw(options: sections.Optimizer, network: Network) -> list[Optimizer]:
    return [AdamW(_groups(options, network), betas=options.betas, eps=options.eps, fused=True)]


def _muon(options: sections.Optimizer, network: Network) -> list[Optimizer]:
    matrices = list(_with_role(network, {"matrix"}))
    if not matrices:
        raise SdError(
            'optimizer.name = "muon" needs an architecture that names its matrices (param_roles); use "adamw"'
        )
    lr = options.muon_learning_rate
    on_cpu = all(matrix.device.type == "cpu" for matrix in matrices)
    muon = (CpuMuon if on_cpu else torch.optim.Muon)(
        [{"params": matrices, "peak_lr": lr}],
        lr=lr,
        weight_decay=options.weight_decay,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    groups = _groups(options, network, without={"matrix"})
    return [muon, AdamW(groups, betas=options.betas, eps=options.eps, fused=True)]


def _adamw_8bit(options: sections.Optimizer, network: Network) -> list[Optimizer]:
    try:
        import bitsandbytes  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise SdError('optimizer.name = "adamw_8bit" needs bitsandbytes: pip install "sd-core[8bit]"') from error
    eight_bit: Optimizer = bitsandbytes.optim.AdamW8bit(
        _groups(options, network), lr=options.learning_rate, betas=options.betas, eps=options.eps
    )
    return [eight_bit]


_OPTIMIZERS: dict[str, Callable[[sections.Optimizer, Network], list[Optimizer]]] = {
    "adamw": _adamw,
    "muon": _muon,
    "adamw_8bit": _adamw_8bit,
}


def _groups(options: sections.Optimizer, network: Network, without: set[str] = frozenset()) -> list[dict[str, Any]]:  # type: ignore[assignment]
    decayed = list(_with_role(network, {"matrix", "embedding"} - without))
    plain = list(_with_role(network, {"vector"}))
    mapping = list(_with_role(network, {"mapping"}))
    rate = {"lr": options.learning_rate, "peak_lr": options.learning_rate}
    slow = {name: MAPPING_RATE * lr for name, lr in rate.items()}
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay, **rate},
        {"params": plain, "weight_decay": 0.0, **rate},
        {"params": mapping, "weight_decay": 0.0, **slow},
    ]
    return [group for group in groups if group["params"]]


def _with_role(network: Network, roles: set[str]) -> Iterable[nn.Parameter]:
    role_of = network.parameter_roles()
    return (p for name, p in network.named_parameters() if role_of.get(name) in roles)


def build_schedule(options: sections.Scheduler, total_steps: int) -> Schedule:
    """The factor on the peak learning rate at each optimizer step, counted from 0.

    A pure function of the step: nothing to save, nothing to step twice.
    """
    shape = _SHAPES[options.name]

    def factor(step: int) -> float:
        if step < options.warmup_steps:
            return (step + 1) / (options.warmup_steps + 1)
        length = max(1, total_steps - options.warmup_steps)
        return shape(min(1.0, (step - options.warmup_steps) / length), options)

    if options.name == "constant":
        return lambda _step: 1.0
    return factor


def warmup_notice(options: sections.Scheduler, total_steps: int) -> str | None:
    """A sentence where the warm-up takes the whole run, so that the learning rate never arrives."""
    if options.name == "constant" or options.warmup_steps < total_steps:
        return None
    return (
        f"the run ends after {total_steps} steps, within its warm-up of {options.warmup_steps}: lower "
        "scheduler.warmup_steps, or train longer"
    )


def _stable_then_linear(progress: float, options: sections.Scheduler) -> float:
    if options.decay_fraction == 0:
        return 1.0
    return min(1.0, (1 - progress) / options.decay_fraction)


_SHAPES: dict[str, Callable[[float, sections.Scheduler], float]] = {
    "constant": lambda _progress, _options: 1.0,
    "constant_with_warmup": lambda _progress, _options: 1.0,
    "linear": lambda progress, _options: 1.0 - progress,
    "cosine": lambda progress, _options: 0.5 * (1 + math.cos(math.pi * progress)),
    "warmup_stable_decay": _stable_then_linear,
}


def set_learning_rate(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Scale every group's peak learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
