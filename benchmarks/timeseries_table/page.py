"""The results page: our scores between their floor and what others published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from benchmarks.timeseries_table.judging import Result
from benchmarks.timeseries_table.published import GOALS, PUBLISHED, STRETCH
from benchmarks.timeseries_table.scores import MEASURES, REPEATS, mean_and_interval

TITLES = {"sines": "Sines", "stocks": "Stocks", "etth": "ETTh"}


def page(results: Mapping[str, Result], command: str) -> str:
    """Markdown of the sets that are done.

    Args:
        results: By set.
        command: What was typed.
    """
    parts = [
        "# External time-series table",
        f"Written by `{command}`; protocol and definitions: [benchmarks](../README.md#external-time-series-table). "
        f"Mean and 95 % interval of {REPEATS} repeats (seeds 0 to {REPEATS - 1}) on windows of 24 rows in [0, 1]; "
        "lower is better. Floor: the training windows themselves in the place of generated ones. "
        "Published numbers are quoted, not measured again.",
        *(_table([f"{name.capitalize()} score", *_titles(results)], _scores(name, results)) for name in MEASURES),
        _table(["Memorisation", *_titles(results)], _memorisation(results)),
        _table(["Made by", *_titles(results)], _origin(results)),
        _verdict(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _titles(results: Mapping[str, Result]) -> list[str]:
    return [TITLES[name] for name in results]


def _scores(score: str, results: Mapping[str, Result]) -> Iterator[list[str]]:
    yield ["**Signal Diffusion**", *(f"**{_interval(result.generated[score])}**" for result in results.values())]
    yield ["floor", *(_interval(result.floor[score]) for result in results.values())]
    for method, row in PUBLISHED[score].items():
        yield [method, *(f"{row[name]:.3f}" for name in results)]


def _memorisation(results: Mapping[str, Result]) -> Iterator[list[str]]:
    for title, key in (
        ("distance to the nearest training window, ratio of medians", "ratio"),
        ("the same of first percentiles", "percentile_1"),
        ("the ratio of real windows to those that overlap them", "neighbours"),
    ):
        yield [title, *(f"{result.memorisation[key]:.3f}" for result in results.values())]


def _origin(results: Mapping[str, Result]) -> Iterator[list[str]]:
    yield ["windows trained on, and drawn", *(f"{result.windows:,}" for result in results.values())]
    yield ["parameters", *(f"{result.provenance['parameters']:,}" for result in results.values())]
    yield ["steps", *(f"{result.provenance['step']:,}" for result in results.values())]
    yield ["batch", *(str(result.provenance["batch_of_training"]) for result in results.values())]
    yield ["training, minutes", *(f"{result.provenance['minutes_of_training']:.1f}" for result in results.values())]
    sampling = (result.provenance for result in results.values())
    yield ["sampler", *(f"{each['sampler']} {each['denoising_steps']}, EMA {each['ema']}" for each in sampling)]
    yield ["seed of the noise", *(str(result.provenance["seed"]) for result in results.values())]
    yield ["values outside [0, 1], clipped", *(f"{result.outside:.2%}" for result in results.values())]
    yield ["PyTorch", *(str(torch.__version__) for _ in results)]


def _verdict(results: Mapping[str, Result]) -> str:
    lines = []
    for word, aims in (("goal", GOALS), ("stretch", STRETCH)):
        for score, row in aims.items():
            for name in (name for name in row if name in results):
                mean, _ = mean_and_interval(results[name].generated[score])
                outcome = "reached" if mean < row[name] else "MISSED"
                lines.append(f"- {TITLES[name]} {score} below {row[name]:.3f} ({word}): {outcome} with {mean:.4f}")
    return "\n".join(lines)


def _interval(values: list[float]) -> str:
    mean, half = mean_and_interval(values)
    return f"{mean:.4f} ± {half:.4f}"


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    line = "|{}|".format("---|" + "---:|" * (len(head) - 1)).replace("||", "|")
    return "\n".join([f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows)])
