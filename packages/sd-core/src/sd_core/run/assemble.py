"""From names in a config to working parts; shapes flow from the data to the network."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from sd_core.config.read import Run
from sd_core.errors import SdError
from sd_core.options import ObjectiveOptions
from sd_core.pictures import StoredPictures
from sd_core.registry import Registry
from sd_core.run.network import Network, with_parts
from sd_core.run.randomness import torch_seed
from sd_core.task import Condition, GridShape, LabelSpace, SignalInfo, Task

if TYPE_CHECKING:
    from sd_core.protocols import Codec, Conditioner, Denoiser, Objective, Representation, Sampler

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Geometry:
    """What a dataset is: windows of a signal, or stored pictures of a shape."""

    info: SignalInfo | None = None
    pictures: GridShape | None = None

    def __str__(self) -> str:
        return f"pictures {self.pictures}" if self.info is None else f"windows of {self.info}"


@dataclass(frozen=True)
class Assembly:
    """The parts of a run, built for each other."""

    representation: Representation
    codec: Codec
    network: Network
    objective: Objective
    task: Task

    def to(self, device: torch.device) -> Assembly:
        """Move what has tensors; returns self."""
        for part in (self.representation, self.codec, self.network):
            if isinstance(part, nn.Module):
                part.to(device)
        return self

    def encode(self, data: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        """Windows or pictures to what the network learns, x0 (B, *task.shape)."""
        chosen = part if self.representation.parts > 1 else None
        return self.codec.encode(self.representation.encode(data, chosen))


def assemble(run: Run, registry: Registry, geometry: Geometry, labels: LabelSpace) -> Assembly:
    """Build every part that the config names; initial weights follow from the run's seed.

    Raises:
        SdError: parts that do not fit each other, by one sentence that names the key to change.
    """
    torch.manual_seed(torch_seed(run.config.training.seed, 0))
    representation = build_representation(run, registry, geometry)
    codec = build_codec(run, registry, representation)
    conditioner = cast("Conditioner", _create(run, registry, "conditioners", labels))
    if hasattr(conditioner, "restrict"):
        conditioner.restrict(registry.find("architectures", run.config.model.name).supports)
    _check_support(run, registry, conditioner.emits, "model.conditioning", run.config.model.conditioning)
    told = with_parts(conditioner.emits, representation.parts)
    _check_support(run, registry, told, "data.extras.layout", "one electrode per example")
    task = Task(codec.shape, told)
    denoiser = cast("Denoiser", _create(run, registry, "architectures", task))
    objective = _objective(run, registry, denoiser.prediction_hint)
    network = Network(denoiser, conditioner, representation.parts)
    return Assembly(representation, codec, network, objective, task)


def build_representation(run: Run, registry: Registry, geometry: Geometry) -> Representation:
    """The representation of the config; for stored pictures, the pictures themselves."""
    if geometry.pictures is not None:
        _log.warning(
            "the dataset holds rendered pictures, which are learned as they are: data.representation = %r does nothing",
            run.config.data.representation,
        )
        return StoredPictures(geometry.pictures)
    return cast("Representation", _create(run, registry, "representations", geometry.info))


def build_codec(run: Run, registry: Registry, representation: Representation) -> Codec:
    """The codec of the config, told how far the representation's values reach where it asks for that."""
    codec = cast("Codec", _create(run, registry, "codecs", representation.shape))
    reach = getattr(representation, "reach", None)
    if reach is not None and hasattr(codec, "expect"):
        codec.expect(reach)
    return codec


def build_sampler(run: Run, registry: Registry) -> Sampler:
    """The sampler that `[inference]` names."""
    return cast("Sampler", registry.create("samplers", run.config.inference.sampler, run.options["samplers"]))


def _objective(run: Run, registry: Registry, hint: str) -> Objective:
    options = cast(ObjectiveOptions, run.options["objectives"])
    if options.prediction_type == "auto":
        options = options.model_copy(update={"prediction_type": hint})
    return cast("Objective", registry.create("objectives", run.config.objective.name, options))


def _check_support(run: Run, registry: Registry, told: Condition, key: str, value: str) -> None:
    """Refuse a network that does not take what it would be told."""
    model = run.config.model
    supported = registry.find("architectures", model.name).supports
    lacking = sorted(told.needs - supported)
    if lacking:
        raise SdError(
            f"{key} ({value}) gives {' and '.join(lacking)}, which model {model.name!r} does not take (it takes "
            f"{', '.join(sorted(supported)) or 'no condition'}); change {key} or model.name"
        )


def _create(run: Run, registry: Registry, kind: str, *args: Any) -> Any:
    names = {
        "representations": run.config.data.representation,
        "codecs": run.config.codec.name,
        "conditioners": run.config.model.conditioning,
        "architectures": run.config.model.name,
    }
    return registry.create(kind, names[kind], run.options[kind], *args)
