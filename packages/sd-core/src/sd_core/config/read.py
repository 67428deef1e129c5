"""From a TOML file to a typed run: two looks, one validation, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from sd_core.config.layers import Layers, read_layers, read_overrides
from sd_core.config.sections import Evaluation, RunConfig
from sd_core.config.validate import validate, validate_evaluation
from sd_core.config.write import plain, to_toml
from sd_core.options import Options
from sd_core.registry import Registry, discover


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: core's tables, and the options of every component that it names."""

    config: RunConfig
    """Every section; its `extras` hold the components' options complete with their defaults."""
    options: Mapping[str, Options]
    """Kind ("architectures", "samplers", ...) -> options of the component that the run names; "corpora" only where
    `[dataset] name` is a corpus."""
    metric_options: Mapping[str, Options]
    """Metric -> options, for each that the run uses."""
    tracker_options: Mapping[str, Options]
    """Tracker -> options, for each that the run uses."""
    notices: tuple[str, ...] = field(default=(), compare=False)
    """Sentences to say once: what is allowed but does nothing."""
    file: Path = field(default=Path(), compare=False)
    """Where it was read from."""
    layers: Layers = field(default_factory=lambda: Layers(Path()), compare=False, repr=False)
    """What was written, and where: for messages."""

    def origin(self, section: str, *keys: str) -> str:
        """Where a key was written, for messages: "config/dit.toml:12" or "--set model.name"."""
        return str(self.layers.origin((section, *keys)))

    def tables(self) -> dict[str, Any]:
        """The complete run as tables of TOML values, each key where a config writes it."""
        values = plain(self.config)
        model: dict[str, Any] = values["model"]
        model["extras"] = {"cfg_dropout": model.pop("cfg_dropout"), **model["extras"]}
        return values

    def to_toml(self) -> str:
        """The complete run; `read_resolved` reads it back equal."""
        return to_toml(self.tables())


def read_run(path: str | PathLike[str], overrides: Sequence[str] = (), registry: Registry | None = None) -> Run:
    """Read the config of a run.

    Args:
        path: a TOML file; `[settings] config`, or `default.toml` beside it or one folder up, is read below it.
        overrides: "section.key=value", as given to `--set`; they win.
        registry: the plugins; without it, those installed.

    Raises:
        SdError: something is wrong; every problem has a line with file, line number, key and remedy.
    """
    return _run(read_layers(Path(path), overrides), registry or discover(), watchers_may_lack=False)


def read_resolved(path: str | PathLike[str], overrides: Sequence[str] = (), registry: Registry | None = None) -> Run:
    """Read the `run.toml` of a run directory or a checkpoint: complete, no shared settings are looked up.

    Metrics, trackers and corpora that are not installed here are left out with a notice: sampling needs none.

    Raises:
        SdError: as `read_run`.
    """
    return _run(read_layers(Path(path), overrides, shared=False), registry or discover(), watchers_may_lack=True)


def read_evaluation(
    overrides: Sequence[str] = (), registry: Registry | None = None
) -> tuple[Evaluation, Mapping[str, Options]]:
    """The table `[evaluation]` and the options of its metrics, for judging without a run.

    Raises:
        SdError: an override is wrong, or about another table.
    """
    return validate_evaluation(read_overrides(overrides), registry or discover())


def _run(layers: Layers, registry: Registry, *, watchers_may_lack: bool) -> Run:
    valid = validate(layers, registry, watchers_may_lack=watchers_may_lack)
    return Run(
        config=valid.config,
        options=valid.options,
        metric_options=valid.metrics,
        tracker_options=valid.trackers,
        notices=tuple(valid.notices),
        file=layers.file,
        layers=layers,
    )
