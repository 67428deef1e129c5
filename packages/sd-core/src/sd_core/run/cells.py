"""The settings that a sweep tries: a grid over what a trained run can do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from sd_core.config.read import Run
from sd_core.config.write import literal
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.checkpoint import MANIFEST, checkpoints, newest, step_of, verified
from sd_core.run.state import average_file
from sd_core.run.stored import kept_averages

SCALES = (1.0, 1.5, 2.5)
"""Guidance scales of the default grid."""
INTERVALS = ((0.0, 1.0), (0.1, 0.7))
"""Guidance intervals of the default grid: everywhere, and not where noise hides everything (Kynkaanniemi 2024)."""
SAMPLERS = ("heun", "dpm++")
"""Samplers of the default grid, beside the run's own."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """What to vary; an axis that is None has its default."""

    snapshots: tuple[str, ...] | None = None
    """Steps, "latest" or "all"."""
    ema: tuple[float, ...] | None = None
    samplers: tuple[str, ...] | None = None
    steps: tuple[int, ...] | None = None
    scales: tuple[float, ...] | None = None
    intervals: tuple[Interval, ...] | None = None


@dataclass(frozen=True)
class Cell:
    """One setting of one snapshot."""

    checkpoint: Path
    ema: float | None
    """None for a run that keeps no average."""
    sampler: str
    steps: int
    scale: float
    interval: Interval

    @property
    def inference(self) -> dict[str, Any]:
        """The keys of `[inference]` that the setting is."""
        chosen: dict[str, Any] = {
            "sampler": self.sampler,
            "denoising_steps": self.steps,
            "cfg_scale": self.scale,
            "guidance_interval": list(self.interval),
        }
        return chosen if self.ema is None else {**chosen, "ema": self.ema}

    @property
    def overrides(self) -> list[str]:
        """The setting as `--set` takes it."""
        return [f"inference.{key}={literal(value)}" for key, value in self.inference.items()]

    @property
    def title(self) -> str:
        """In a few words."""
        guided = "" if self.scale == 1 else f", guidance {self.scale:g}"
        if guided and self.interval != (0.0, 1.0):
            guided += f" in {self.interval[0]:g}-{self.interval[1]:g}"
        averaged = "" if self.ema is None else f", EMA {self.ema:g}"
        return f"{self.checkpoint.name}{averaged}, {self.sampler} {self.steps}{guided}"

    def identity(self, inference: Mapping[str, Any]) -> str:
        """Of the windows that are drawn: the weights and all of `[inference]`."""
        weights = (self.checkpoint / MANIFEST).read_text(encoding="utf-8")
        basis = json.dumps([weights, dict(inference)], sort_keys=True, default=str)
        return hashlib.sha256(basis.encode()).hexdigest()[:16]


def grid(run: Run, source: Path, axes: Axes, registry: Registry, *, guidable: bool) -> list[Cell]:
    """Every setting to try; guidance that a run cannot have is left out, or refused where somebody asks for it.

    Args:
        run: Of the newest checkpoint.
        source: The run directory, or one checkpoint.
        axes: What to vary.
        registry: The installed plugins.
        guidable: Whether there is something to guide away from.

    Raises:
        SdError: a sampler is not known, an average or snapshot is not there, or guidance is asked of a run that has
            nothing to guide away from.
    """
    inference = run.config.inference
    snapshots = _snapshots(source, axes.snapshots)
    averages = _averages(run, snapshots, axes.ema)
    samplers = axes.samplers or tuple(dict.fromkeys((inference.sampler, *_installed(registry))))
    for name in samplers:
        registry.find("samplers", name)
    steps = axes.steps or (inference.denoising_steps,)
    guidances = list(_guidances(run, axes, guidable=guidable))
    return [
        Cell(snapshot, ema, sampler, count, scale, interval)
        for snapshot, ema, sampler, count, (scale, interval) in product(snapshots, averages, samplers, steps, guidances)
    ]


def _installed(registry: Registry) -> list[str]:
    names = registry.names("samplers")
    return [name for name in SAMPLERS if name in names]


def _snapshots(source: Path, wanted: tuple[str, ...] | None) -> list[Path]:
    if wanted is None or wanted == ("latest",):
        return [newest(source)]
    there = {str(step_of(folder)): folder for folder in checkpoints(source)}
    names = tuple(there) if wanted == ("all",) else wanted
    for name in names:
        if name not in there:
            listed = ", ".join(there) or "none"
            raise SdError(f"--snapshots {name}: {source} has no checkpoint of that step; steps there: {listed}")
    if not names:
        raise SdError(f"--snapshots all: {source} holds no checkpoints; name a run directory")
    return [verified(there[name]) for name in names]


def _averages(run: Run, snapshots: Sequence[Path], wanted: tuple[float, ...] | None) -> tuple[float | None, ...]:
    kept = kept_averages(run)
    if wanted is None:
        return tuple(float(name) for name in kept) or (None,)
    for width, snapshot in product(wanted, snapshots):
        if not (snapshot / average_file(f"{width:g}")).is_file():
            there = ", ".join(kept) or "none"
            raise SdError(f"--ema {width:g}: {snapshot} keeps no such average; there: {there}")
    return wanted


def _guidances(run: Run, axes: Axes, *, guidable: bool) -> Iterator[tuple[float, Interval]]:
    """Scales with their intervals; scale 1 has none, so it comes once."""
    if not guidable:
        if any(scale != 1 for scale in axes.scales or ()) or axes.intervals:
            asked = "--cfg-scale" if axes.scales else "--guidance-interval"
            raise SdError(
                f"{asked}: this run was trained with conditioning = {run.config.model.conditioning!r}, so there is "
                "nothing to guide away from; leave it out"
            )
        yield 1.0, (0.0, 1.0)
        return
    for scale in axes.scales or SCALES:
        for interval in (axes.intervals or INTERVALS) if scale != 1 else ((0.0, 1.0),):
            yield scale, interval
