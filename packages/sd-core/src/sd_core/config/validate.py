"""The second look: every table against its type, core's and the plugins', before anything is refused."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sd_core.config import rules
from sd_core.config.layers import Layers
from sd_core.config.problems import Problem, report
from sd_core.config.sections import Evaluation, Lora, RunConfig
from sd_core.config.slots import (
    CORPUS,
    METRICS,
    PLACES,
    TRACKER_KEYS,
    TRACKERS,
    Place,
    Slot,
    make_slot,
    metric_names,
    named,
    table_at,
    tracker_names,
)
from sd_core.config.statements import Path
from sd_core.config.wording import Vocabulary, unknown_key, wrong_value
from sd_core.config.write import plain, switched_off
from sd_core.errors import SdError
from sd_core.options import NoOptions, Options
from sd_core.registry import Registry, nearest

M = TypeVar("M", bound=BaseModel)


@dataclass
class Valid:
    """What came through."""

    config: RunConfig
    options: dict[str, Options]
    metrics: dict[str, Options]
    trackers: dict[str, Options]
    notices: list[str] = field(default_factory=list)


def validate(layers: Layers, registry: Registry, *, watchers_may_lack: bool) -> Valid:
    """Type a run.

    Args:
        layers: what was written.
        registry: the plugins.
        watchers_may_lack: metrics, trackers and corpora that are not installed are noted, not refused.

    Raises:
        SdError: all problems, a line each.
    """
    return _Validation(layers, registry, watchers_may_lack).run()


def validate_evaluation(layers: Layers, registry: Registry) -> tuple[Evaluation, dict[str, Options]]:
    """Type `[evaluation]` alone, and the options of its metrics by name.

    Raises:
        SdError: all problems, a line each; another table than this is one.
    """
    return _Validation(layers, registry, watchers_may_lack=False).run_evaluation()


class _Validation:
    def __init__(self, layers: Layers, registry: Registry, watchers_may_lack: bool) -> None:
        self.layers = Layers(layers.file, deepcopy(layers.values), layers.origins)
        self.values = self.layers.values
        self.registry = registry
        self.lenient = watchers_may_lack
        self.problems: list[Problem] = []
        self.notices: list[str] = []

    def run(self) -> Valid:
        self._check_leaves(self.values, ())
        written = rules.asks_for_dropout(self.layers)
        rules.move_cfg_dropout(self.layers, self.say)
        rules.choose_latent_codec(self.layers, self.say)
        notices = rules.choose_eval_strategy(self.layers)
        # First look: the names, and the option classes they lead to.
        single = self._single_slots()
        metrics, trackers = self._metric_slots(), self._tracker_slots()
        rules.check_shared_keys(self.layers, single, self.say)
        # Second look: everything against its type.
        vocabulary = _vocabulary([*single, *metrics, *trackers])
        config = self._typed(RunConfig, self.values, lambda path: path, vocabulary)
        options = {slot: self._options(slot, vocabulary) for slot in [*single, *metrics, *trackers]}
        if config is not None:
            rules.check_together(config, self.say)
            if self.lenient:
                rules.check_vain_guidance(self.layers, config, self.say)
                rules.check_idle_seed(self.layers, self.say)
        report(self.problems)
        assert config is not None
        found = {slot: value for slot, value in options.items() if value is not None}
        config = _completed(config, found, self.values)
        return Valid(
            config=config,
            options={slot.kind: found[slot] for slot in single},
            metrics={slot.name: found[slot] for slot in metrics},
            trackers={slot.name: found[slot] for slot in trackers},
            notices=self.notices + self._worth_saying(notices + rules.notices(config, self.values, written)),
        )

    def run_evaluation(self) -> tuple[Evaluation, dict[str, Options]]:
        """Only the table of judging, where there is no run."""
        for table in self.values:
            if table != METRICS[0]:
                self.say((table,), f"needs a run; without one only [{METRICS[0]}] can be set")
        self._check_leaves(self.values, ())
        metrics = self._metric_slots()
        vocabulary = _vocabulary(metrics)
        config = self._typed(
            Evaluation, table_at(self.values, METRICS[:1]), lambda path: (*METRICS[:1], *path), vocabulary
        )
        options = {slot.name: self._options(slot, vocabulary) for slot in metrics}
        report(self.problems)
        assert config is not None
        return config, {name: found for name, found in options.items() if found is not None}

    def _worth_saying(self, notices: list[rules.Notice]) -> list[str]:
        """Of a stored run, only what `--set` brings about: the rest was said when it was trained."""
        return [
            notice.sentence
            for notice in notices
            if not self.lenient or any(self.layers.is_set(path) for path in notice.about)
        ]

    def say(self, path: Path, what: str) -> None:
        above: Any = table_at(self.values, path[:-1])
        is_table = bool(path) and isinstance(above.get(path[-1]), dict)
        self.problems.append(Problem(self.layers.origin(path), path, what, is_table))

    def _check_leaves(self, values: Any, path: Path) -> None:
        """What TOML knows and a config does not."""
        for key, value in list(values.items() if isinstance(values, dict) else enumerate(values)):
            here = (*path, key) if isinstance(key, str) else path
            if isinstance(value, dict | list):
                self._check_leaves(value, here)
            elif isinstance(value, datetime.date | datetime.time):
                self.say(here, f"is a date; write it in quotes: '{value}'")
                values[key] = str(value)
            elif isinstance(value, float) and not math.isfinite(value):
                self.say(here, f"must be a finite number, not {value}")
                values[key] = 0.0

    def _single_slots(self) -> list[Slot]:
        slots: list[Slot] = []
        for place in PLACES:
            if name := named(self.values, place):
                slots += self._slot(place, name)
        corpus = named(self.values, CORPUS)
        if corpus is not None and self._is_corpus(corpus):
            slots += self._slot(CORPUS, corpus)
        elif corpus is not None and table_at(self.values, CORPUS.extras) and not self.lenient:
            corpora = ", ".join(self.registry.names("corpora")) or "none"
            self.say(CORPUS.extras, f"are options of a corpus, and '{corpus}' is none (installed: {corpora})")
        return slots

    def _is_corpus(self, name: str) -> bool:
        names = self.registry.names("corpora")
        return name in names or name.rpartition(":")[2] in names

    def _slot(self, place: Place, name: str) -> Iterator[Slot]:
        try:
            yield make_slot(self.registry, place, name)
        except SdError as error:
            self.say(place.name, str(error))

    def _metric_slots(self) -> list[Slot]:
        names = metric_names(self.values, self.registry)
        return self._watchers("metrics", METRICS, names, ("evaluation", "extras"), ())

    def _tracker_slots(self) -> list[Slot]:
        return self._watchers("trackers", TRACKERS, tracker_names(self.values), ("logging", "extras"), TRACKER_KEYS)

    def _watchers(
        self, kind: str, key: Path, names: tuple[str, ...], extras: Path, shared: tuple[str, ...]
    ) -> list[Slot]:
        """Slots of a kind of which a run has several."""
        slots: list[Slot] = []
        for name in names:
            try:
                slots.append(make_slot(self.registry, Place(kind, key, "", (*extras, name), shared), name))
            except SdError as error:
                if self.lenient:
                    self.notices.append(f"{error}; left out")
                else:
                    self.say(key, str(error))
        for name in table_at(self.values, extras):
            if name not in names and not self.lenient:
                guess = nearest(name, names)
                hint = f"did you mean '{guess}'?" if guess else f"{kind} of this run: {', '.join(names) or 'none'}"
                self.say((*extras, name), f"'{name}' is not one of the run's {kind}; {hint}")
        return slots

    def _options(self, slot: Slot, vocabulary: Vocabulary) -> Options | None:
        table = table_at(self.values, slot.extras)
        for key in slot.shared & table.keys():
            self.say((*slot.extras, key), f"belongs in [{slot.key[0]}]")
        return self._typed(slot.options, slot.written(self.values), slot.path, vocabulary)

    def _typed(
        self, kind: type[M], values: Mapping[str, Any], place: Callable[[Path], Path], vocabulary: Vocabulary
    ) -> M | None:
        """Validate strictly through JSON: a list becomes a tuple, but "12" is not 12."""
        text = json.dumps(switched_off(kind, values))
        try:
            return kind.model_validate_json(text)
        except ValidationError as error:
            found = [(_existing(details, values), details) for details in error.errors(include_url=False)]
        for path, group in groupby(found, key=lambda pair: pair[0]):
            errors = [details for _, details in group]
            at = place(_named_by_message(path, errors[0], values))
            keys = tuple(key for key in at if isinstance(key, str))
            self.say(_back(keys), self._sentence(keys, at[len(keys) :], errors, vocabulary))
        return None

    def _sentence(self, path: Path, index: tuple[Any, ...], errors: list[ErrorDetails], vocabulary: Vocabulary) -> str:
        if errors[0]["type"] == "extra_forbidden":
            return unknown_key(path, errors[0]["input"], vocabulary)
        if errors[0]["type"] == "missing" and path[:-1] == CORPUS.extras:
            corpus = named(self.values, CORPUS)
            return f'is required by the corpus; for a folder of that name write [dataset] name = "./{corpus}"'
        where = f"value {index[0] + 1} " if index and isinstance(index[0], int) else ""
        return where + wrong_value(errors)


def _existing(error: ErrorDetails, values: Any) -> tuple[Any, ...]:
    """The part of an error's location that the config writes; pydantic adds the members of unions behind it."""
    path: list[Any] = []
    for key in error["loc"]:
        inside = key in values if isinstance(values, Mapping) else isinstance(values, list) and isinstance(key, int)
        if not inside and error["type"] != "missing":
            break
        path.append(key)
        if isinstance(values, Mapping):
            values = values.get(key)
        else:
            values = values[key] if isinstance(values, list) and isinstance(key, int) and key < len(values) else None
    return tuple(path)


def _named_by_message(path: tuple[Any, ...], error: ErrorDetails, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """A check of several options has no place of its own: it stands at the first written option that it mentions."""
    if path or error["type"] not in ("value_error", "assertion_error"):
        return path
    words = re.findall(r"\w+", str(error.get("ctx", {}).get("error", "")))
    return next(((word,) for word in words if word in values), path)


def _back(path: Path) -> Path:
    """Where cfg_dropout was written, before it was moved."""
    return ("model", "extras", "cfg_dropout") if path == ("model", "cfg_dropout") else path


def _vocabulary(slots: list[Slot]) -> dict[Path, tuple[str, ...]]:
    """The keys of every table of this run."""
    known: dict[Path, tuple[str, ...]] = {(): tuple(RunConfig.model_fields)}
    for name, info in RunConfig.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            known[(name,)] = tuple(info.annotation.model_fields)
    known["model",] = tuple(key for key in known["model",] if key != "cfg_dropout")
    known["model", "lora"] = tuple(Lora.model_fields)
    known["model", "extras"] = ("cfg_dropout",)
    for slot in slots:
        known[slot.extras] = known.get(slot.extras, ()) + slot.keys()
    return known


def _completed(config: RunConfig, options: Mapping[Slot, Options], values: Mapping[str, Any]) -> RunConfig:
    """The config with each component's options filled in: what was not written has the component's default."""
    sections: dict[str, Any] = {name: getattr(config, name) for name in RunConfig.model_fields}
    for slot, chosen in options.items():
        shared = {key: getattr(chosen, key) for key in slot.shared}
        extras = {key: value for key, value in plain(chosen).items() if key not in slot.shared}
        section = slot.extras[0]
        if len(slot.extras) == 1:
            sections[section] = extras
        elif len(slot.extras) == 2:
            sections[section] = sections[section].model_copy(update={"extras": extras, **shared})
        elif table_at(values, slot.extras) or slot.name in getattr(sections[section], slot.key[-1]):
            every = {**sections[section].extras, slot.name: extras}
            sections[section] = sections[section].model_copy(update={"extras": every})
    return RunConfig.model_construct(**sections)


__all__ = ["NoOptions", "Valid", "validate"]
