"""The judging story: draw windows from a trained model, score them, say what the scores mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from sd_core.config import sections
from sd_core.errors import SdError
from sd_core.judging.gather import fingerprint, in_memory, usable_metrics
from sd_core.judging.judge import judge
from sd_core.protocols import Metric, Report
from sd_core.registry import Registry
from sd_core.run.sample import LoadedRun, generate, load_run, provenance, run_dir_of
from sd_core.task import SignalInfo, Windows
from sd_core.windows.reading import WindowSet
from sd_core.windows.room import refuse_unwritable

METRICS = "metrics.json"
HISTORY = "metrics.jsonl"
MOST_REAL = 2048
"""Held-out windows at most: the scores of more would hardly differ."""
MOST_TRAIN = 8192
"""Training windows at most (1.3 GB of 20 x 2048); what is left out cannot be recognised as a copy."""
MOST_POINTS = 400
"""Of a training curve in the report."""

Counting = Callable[[str, int], AbstractContextManager[Callable[[int], Any]]]
"""(what, how many) -> a context that yields a function to call with how many more are done."""


@contextmanager
def silent(what: str, total: int) -> Iterator[Callable[[int], Any]]:
    """Counts nothing."""
    del what, total
    yield lambda _: None


@dataclass(frozen=True)
class Judgement:
    """What an evaluation leaves."""

    evaluation: Mapping[str, Any]
    """The content of metrics.json."""
    files: tuple[Path, ...]


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
    real, more = _split(loaded, config.dataset.test_split, MOST_REAL, seed)
    train, still_more = _split(loaded, config.dataset.train_split, MOST_TRAIN, seed)
    metrics, notes = usable_metrics(loaded.registry, config.evaluation.metrics, loaded.run.metric_options)
    report = _report(loaded.registry, config.evaluation)
    notes += more + still_more
    notes += [notice for notice in loaded.run.notices if overrides]

    if loaded.assembly.network.conditioner.roles:
        notes.append("the generated windows were asked for labels of train windows, drawn at random")

    # The model.
    count = count or config.evaluation.num_samples
    with counting("drawing windows", count) as tick, _counted(_networks(loaded)) as rows:
        generated = generate(loaded, count, tick=tick)
    evaluations = rows[0] / (count * loaded.assembly.representation.parts)

    # The judgement.
    result = _judged(loaded, metrics, (real, generated, train), counting)
    result |= {"card": _card(loaded, real, train, count, evaluations), "notes": notes}
    return Judgement(result, tuple(_write(folder, loaded, result, report, (real, generated, train))))


Three = tuple[Windows, Windows, Windows]
"""Held-out, generated, training."""


def _judged(loaded: LoadedRun, metrics: Mapping[str, Metric], windows: Three, counting: Counting) -> dict[str, Any]:
    real, generated, train = windows
    joint = loaded.assembly.representation.parts == 1
    with counting("judging", len(metrics)) as tick:
        return judge(
            real,
            generated,
            train,
            metrics,
            seed=loaded.run.config.inference.seed,
            joint=joint,
            progress=lambda _: tick(1),
        )


def _report(registry: Registry, config: sections.Evaluation) -> Report | None:
    if config.report == "none":
        return None
    return cast(Report, registry.create("reports", config.report, registry.options("reports", config.report)()))


def _split(loaded: LoadedRun, name: str, most: int, seed: int) -> tuple[Windows, list[str]]:
    made, source = loaded.info, loaded.split(name)
    if not isinstance(source, WindowSet):
        raise SdError(f"dataset.name = {loaded.run.config.dataset.name!r} holds pictures, the model makes windows")
    _refuse_other_windows(made, source.info, f"split {name!r} of dataset {loaded.run.config.dataset.name!r}")
    if len(source) <= most:
        return in_memory(source, most, seed), []
    note = f"{most} of the {len(source)} windows of split {name!r} were used"
    return in_memory(source, most, seed), [note]


def _refuse_other_windows(made: SignalInfo, there: SignalInfo, where: str) -> None:
    if (there.channel_names, there.n_samples, there.sfreq) != (made.channel_names, made.n_samples, made.sfreq):
        raise SdError(
            f"{where} has {there} ({', '.join(there.channel_names)}), the model makes {made} "
            f"({', '.join(made.channel_names)}): set dataset.name to data of the model's kind"
        )


def _networks(loaded: LoadedRun) -> list[nn.Module]:
    """Every network that drawing evaluates."""
    earlier = [] if loaded.earlier is None else [loaded.earlier.network]
    return [loaded.assembly.network, *earlier]


@contextmanager
def _counted(networks: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Counts the examples that pass through the networks, guidance included."""
    rows = [0]

    def count(_module: nn.Module, _arguments: Any, output: Tensor) -> None:
        rows[0] += len(output)

    handles = [network.register_forward_hook(count) for network in networks]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def _card(loaded: LoadedRun, real: Windows, train: Windows, count: int, evaluations: float) -> dict[str, Any]:
    """Everything needed to judge the judgement."""
    config = loaded.run.config
    subjects = {
        role: len(set(windows.columns["subject"]))
        for role, windows in (("train", train), (config.dataset.test_split, real))
        if "subject" in windows.columns
    }
    return {
        **provenance(loaded, count, None),
        "ema": loaded.ema,
        "conditioning": config.model.conditioning,
        "evaluations_per_example": round(evaluations, 2),
        "subjects": subjects,
        "reference": fingerprint(real),
        "reference_split": config.dataset.test_split,
    }


def _write(
    folder: Path, loaded: LoadedRun, result: Mapping[str, Any], report: Report | None, windows: Three
) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / METRICS
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)
    yield path
    if report is not None:
        extras = {"title": loaded.run_dir.name, "curves": curves(loaded.run_dir / HISTORY)}
        yield report({**result, **extras}, dict(zip(("real", "generated", "train"), windows, strict=True)), folder)


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
