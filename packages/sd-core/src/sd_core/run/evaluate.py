"""The judging story: draw windows from a trained model, score them, say what the scores mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sd_core.judging.gather import fingerprint, usable_metrics
from sd_core.judging.results import (
    MOST_REAL,
    MOST_TRAIN,
    Counting,
    Judgement,
    build_report,
    judged,
    silent,
    subjects_of,
    write_results,
)
from sd_core.judging.samples import about_of
from sd_core.registry import Registry
from sd_core.run.referring import counted, networks_of, reference_split
from sd_core.run.sample import LoadedRun, generate, load_run, provenance, run_dir_of
from sd_core.task import Windows
from sd_core.windows.room import refuse_unwritable

HISTORY = "metrics.jsonl"
MOST_POINTS = 400
"""Of a training curve in the report."""


def evaluate(
    source: Path,
    *,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    count: int | None = None,
    registry: Registry | None = None,
    counting: Counting = silent,
) -> Judgement:
    """Judge a trained model against the test split of its dataset.

    Args:
        source: A run directory or a checkpoint.
        overrides: `section.key=value` settings, such as "inference.cfg_scale=2.5".
        out: Folder of metrics.json and the report; the run directory when not given.
        count: Windows to draw, instead of `[evaluation] num_samples`.
        registry: The installed plugins, when the caller has them.
        counting: Shows progress.

    Raises:
        SdError: the run cannot be loaded, its data cannot be found or has other windows than the model makes,
            a metric or the report is not installed, the folder cannot be written, or the model was trained
            on rendered pictures.
    """
    folder = out or run_dir_of(source)
    refuse_unwritable(folder)
    loaded = load_run(source, overrides, registry=registry)
    config = loaded.run.config
    seed = config.inference.seed

    # Whatever can be refused is refused before the minutes of sampling.
    real, more = reference_split(loaded, config.dataset.test_split, MOST_REAL, seed)
    train, still_more = reference_split(loaded, config.dataset.train_split, MOST_TRAIN, seed)
    metrics, notes = usable_metrics(loaded.registry, config.evaluation.metrics, loaded.run.metric_options)
    report = build_report(loaded.registry, config.evaluation)
    notes += more + still_more
    notes += [notice for notice in loaded.run.notices if overrides]

    if loaded.assembly.network.conditioner.roles:
        notes.append("the generated windows were asked for labels of train windows, drawn at random")

    # The model.
    count = count or config.evaluation.num_samples
    with counting("drawing windows", count) as tick, counted(networks_of(loaded)) as rows:
        generated = generate(loaded, count, tick=tick)
    evaluations = rows[0] / (count * loaded.assembly.representation.parts)

    # The judgement.
    windows = (real, generated, train)
    result = judged(windows, metrics, counting, seed=seed, joint=loaded.assembly.representation.parts == 1)
    result |= {"card": _card(loaded, real, train, count, evaluations), "notes": notes}
    history = curves(loaded.run_dir / HISTORY)
    return write_results(folder, result, report, windows, title=loaded.run_dir.name, curves=history)


def _card(loaded: LoadedRun, real: Windows, train: Windows, count: int, evaluations: float) -> dict[str, Any]:
    """Everything needed to judge the judgement."""
    config = loaded.run.config
    return {
        **provenance(loaded, count, None),
        "ema": loaded.ema,
        "conditioning": config.model.conditioning,
        "evaluations_per_example": round(evaluations, 2),
        "subjects": subjects_of({"train": train, config.dataset.test_split: real}),
        "reference": fingerprint(real),
        "reference_split": config.dataset.test_split,
        "data": about_of(loaded.split(config.dataset.train_split).meta),
    }


def curves(history: Path) -> dict[str, list[tuple[float, float]]]:
    """The curves of a training from its log: name -> (step, value), thinned; nothing where there is no log."""
    found: dict[str, list[tuple[float, float]]] = {}
    text = history.read_text(encoding="utf-8") if history.is_file() else ""
    for line in text[: text.rfind("\n") + 1].splitlines():  # a killed run may leave half a line at the end
        values = json.loads(line)
        for name, value in values.items():
            if name != "step" and isinstance(value, float):
                found.setdefault(name, []).append((values["step"], value))
    return {name: points[:: -(-len(points) // MOST_POINTS)] for name, points in found.items() if len(points) > 1}
