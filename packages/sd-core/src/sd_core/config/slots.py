"""Where the config speaks to plugins: which component each table names, and which keys are its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sd_core.config.sections import Codec, Data, Inference, Logging, Model, Objective
from sd_core.config.statements import Path
from sd_core.options import Options
from sd_core.registry import Registry


@dataclass(frozen=True)
class Place:
    """The tables of one kind of component."""

    kind: str
    name: Path
    """The key that names the component."""
    default: str
    """The component without that key."""
    extras: Path
    """The table of its options."""
    shared: tuple[str, ...] = ()
    """Keys of the naming table that are options too, where the component's class has them."""


def _default(section: type[Options], key: str) -> str:
    return str(section.model_fields[key].get_default())


PLACES: tuple[Place, ...] = (
    Place("representations", ("data", "representation"), _default(Data, "representation"), ("data", "extras")),
    Place("architectures", ("model", "name"), "", ("model", "extras"), ("pretrained", "revision")),
    Place(
        "conditioners",
        ("model", "conditioning"),
        _default(Model, "conditioning"),
        ("conditioning",),
        ("pretrained", "revision"),
    ),
    Place("codecs", ("codec", "name"), _default(Codec, "name"), ("codec", "extras")),
    Place(
        "objectives",
        ("objective", "name"),
        _default(Objective, "name"),
        ("objective", "extras"),
        ("prediction_type", "timestep_sampling", "loss_weighting", "snr_gamma"),
    ),
    Place(
        "samplers",
        ("inference", "sampler"),
        _default(Inference, "sampler"),
        ("inference", "extras"),
        ("denoising_steps", "shift"),
    ),
)
"""Every run has one component of each of these kinds."""

CORPUS = Place("corpora", ("dataset", "name"), "", ("dataset", "extras"))
METRICS: Path = ("evaluation", "metrics")
TRACKERS: Path = ("logging", "trackers")
TRACKER_KEYS = ("log_dir", "run_name", "wandb_project")
SWITCHES: Mapping[str, str] = {"tensorboard": "tensorboard", "wandb_project": "wandb"}
"""Key of `[logging]` -> the tracker that it switches on."""


@dataclass(frozen=True)
class Slot:
    """One component that a run names, and the keys that are its options."""

    kind: str
    name: str
    options: type[Options]
    key: Path
    """The key that names it."""
    extras: Path
    shared: frozenset[str] = field(default_factory=frozenset)
    """Options that stand beside the naming key instead of in `extras`."""

    def keys(self) -> tuple[str, ...]:
        """What may stand in `extras`."""
        return tuple(key for key in self.options.model_fields if key not in self.shared)

    def written(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The options as the config gives them."""
        beside = table_at(values, self.key[:-1])
        own = table_at(values, self.extras)
        return {key: beside[key] for key in self.shared if key in beside} | {
            key: value for key, value in own.items() if key not in self.shared
        }

    def path(self, option: Path) -> Path:
        """Where an option stands in the config."""
        return (self.key[:-1] if option and option[0] in self.shared else self.extras) + option


def make_slot(registry: Registry, place: Place, name: str) -> Slot:
    """The slot of a component.

    Raises:
        SdError: as `Registry.options`.
    """
    options = registry.options(place.kind, name)
    shared = frozenset(place.shared).intersection(options.model_fields)
    return Slot(place.kind, name, options, place.name, place.extras, shared)


def named(values: Mapping[str, Any], place: Place) -> str | None:
    """The component that the config names; None where the name is not text, which validation reports."""
    name = table_at(values, place.name[:-1]).get(place.name[-1], place.default)
    return name if isinstance(name, str) and name else None


def table_at(values: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """The table at this path, empty where there is none."""
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def metric_names(values: Mapping[str, Any], registry: Registry) -> tuple[str, ...]:
    """The metrics of a run: those named, or all that are installed."""
    return _texts(table_at(values, METRICS[:-1]).get(METRICS[-1])) or registry.names("metrics")


def tracker_names(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The trackers of a run: those switched on by a key of `[logging]`, then those named."""
    logging = table_at(values, TRACKERS[:-1])
    switched = [name for key, name in SWITCHES.items() if logging.get(key, Logging.model_fields[key].default)]
    return tuple(dict.fromkeys((*switched, *_texts(logging.get(TRACKERS[-1])))))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_strings(value)) if isinstance(value, list) else ()


def _strings(values: list[Any]) -> Iterator[str]:
    yield from (value for value in values if isinstance(value, str))
