"""`sd-train --dry-run`: what a run would be, before it costs anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from sd_core.config.read import Run
from sd_core.config.write import to_toml
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import Geometry
from sd_core.run.costs import Cost, measure
from sd_core.run.opening import OpenData, open_data
from sd_core.run.optim import warmup_notice
from sd_core.run.train import total_steps
from sd_core.task import LabelSpace, SignalInfo
from sd_core.windows.reading import PictureSet

DEFAULTS = "all other keys have their defaults; the run.toml of a run holds every key"
REFERENCE = SignalInfo(channel_names=tuple(f"ch{number:02d}" for number in range(1, 21)), n_samples=2048, sfreq=125.0)
"""Geometry to size a network for while its dataset is not there."""
A100_PEAK = 312e12
"""bf16 FLOP/s of an NVIDIA A100 (its data sheet)."""
CARDS = (24, 48, 80, 141)
"""Memory of usual GPUs, GiB."""
UTILISATION = 0.4
"""Share of the peak that a well-fed training reaches; an assumption, said where it is used."""


def describe_run(run: Run, registry: Registry) -> str:
    """What the config sets, the dataset, the network's size and the cost of a step, as text."""
    lines = [to_toml(_written(run.tables(), run.layers.values)).rstrip(), "", f"# {DEFAULTS}", ""]
    try:
        data = open_data(run, registry)
    except SdError as error:
        lines += [f"dataset      {error}", f"             sizes below are for {REFERENCE}"]
        cost = measure(run, registry, Geometry(info=REFERENCE), _stand_in_space(run))
        return "\n".join([*lines, *_network(run, cost), *_time_per_examples(cost)])
    cost = measure(run, registry, data.geometry, data.labels)
    return "\n".join([*lines, *_dataset(data), *_network(run, cost), *_time(run, data, cost)])


def _written(resolved: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Of the resolved keys, those that somebody wrote: a hundred defaults would hide them."""
    kept: dict[str, Any] = {}
    for key in resolved.keys() & written.keys():
        value, said = resolved[key], written[key]
        kept[key] = _written(value, said) if isinstance(value, dict) and isinstance(said, dict) else value
    return {key: kept[key] for key in resolved if key in kept and kept[key] != {}}


def _stand_in_space(run: Run) -> LabelSpace:
    classes = tuple(f"class-{number}" for number in range(run.config.dataset.num_classes or 2))
    return LabelSpace(
        categories={"class": classes, "gender": ("F", "M"), "health": ("H", "PD")},
        numbers={"age": (50.0, 17.0)},
        texts=frozenset({"caption"}),
    )


def _dataset(data: OpenData) -> Iterator[str]:
    source = data.train.source
    kind = f"pictures {data.geometry.pictures}" if isinstance(source, PictureSet) else f"windows of {source.info}"
    yield f"dataset      {data.location}: {len(source)} train {kind}"
    if "subject" in source.column_names:
        yield f"             {len(set(source.column('subject')))} subjects"
    table = data.train.labels.rows(range(len(source)))
    for role, names in data.labels.categories.items():
        counts = Counter(table[role].tolist())
        yield f"  {role:<10} " + ", ".join(f"{name} {counts[index]}" for index, name in enumerate(names))
    for role, (mean, sd) in data.labels.numbers.items():
        yield f"  {role:<10} {mean:.1f} +- {sd:.1f}"
    for role in sorted(data.labels.texts):
        texts = table[role]
        longest = max(texts, key=len)
        yield f"  {role:<10} {len(data.train.labels.texts(role) - {''})} different, the longest {longest!r}"


def _network(run: Run, cost: Cost) -> Iterator[str]:
    batch = run.config.dataset.batch_size
    yield from _codec(run, cost)
    tokens = "" if cost.tokens is None else f", {cost.tokens} tokens"
    yield f"network      {run.config.model.name} on {cost.shape}{tokens}"
    yield f"parameters   {cost.parameters:,} ({cost.trainable:,} trained, {cost.trainable / cost.parameters:.2%})"
    work = cost.flops / 1e9
    yield f"work         {work:,.1f} GFLOP per example, {work * batch / 1e3:,.2f} TFLOP per micro-batch"
    yield (
        f"memory       about {_size(cost.step_bytes(batch))} per process at batch {batch}: "
        f"{_size(cost.state_bytes)} weights, gradients, moments and averages, "
        f"{_size(cost.fixed_bytes + batch * cost.example_bytes)} activations"
        + ("" if cost.codec is None else f", {_size(cost.codec.bytes)} codec")
    )
    yield f"fits         at most batch {_batches(cost)}, a tenth of the card kept free"


def _size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


def _batches(cost: Cost) -> str:
    """The largest batch on this machine's GPU, if it has one, and on usual ones."""
    sizes = {f"{size} GiB": size * 2**30 for size in CARDS}
    if torch.cuda.is_available():
        sizes = {"this GPU": torch.cuda.get_device_properties(0).total_memory, **sizes}
    return ", ".join(f"{cost.largest_batch(memory):,} on {card}" for card, memory in sizes.items())


def _codec(run: Run, cost: Cost) -> Iterator[str]:
    codec = cost.codec
    if codec is None:
        return
    work = f"{codec.flops / 1e9:,.1f} GFLOP per example" if codec.flops else "its latents are kept on disk"
    yield f"codec        {run.config.codec.name} {codec.shapes}, {codec.parameters:,} parameters, frozen; {work}"
    yield f"             {_size(codec.weight_bytes)} weights, about {_size(codec.working_bytes)} at work"


def _time(run: Run, data: OpenData, cost: Cost) -> Iterator[str]:
    options, batch = run.config.training, run.config.dataset.batch_size
    examples = len(data.train.source) * cost.parts
    steps = total_steps(options, examples, batch)
    done = steps * batch * options.gradient_accumulation_steps
    yield f"run          {steps:,} steps, {done:,} examples, {done / examples:.1f} epochs"
    if notice := warmup_notice(run.config.scheduler, steps):
        yield f"             {notice}"
    yield f"time         {_duration(cost.example_flops * done)} ({_assumption()})"


def _time_per_examples(cost: Cost) -> Iterator[str]:
    yield f"time         {_duration(cost.example_flops * 100_000)} per 100,000 examples ({_assumption()})"


def _duration(flops: float) -> str:
    seconds = flops / (A100_PEAK * UTILISATION)
    return f"{seconds:.2g} s" if seconds < 60 else f"{seconds / 3600:.2g} h"


def _assumption() -> str:
    return f"computed: {UTILISATION:.0%} of an A100's bf16 peak"
