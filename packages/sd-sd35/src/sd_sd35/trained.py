"""What a finished run holds, as core reads it: the one module here that looks into core's rooms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sd_core.config.read import Run, read_resolved
from sd_core.plugin import SdError
from sd_core.registry import Registry, discover
from sd_core.run.checkpoint import newest
from sd_core.run.loading import load_assembly, stored_weights
from sd_core.run.stored import RUN, read_card
from sd_sd35.options import SD3TextOptions, SD35Options


@dataclass(frozen=True)
class Trained:
    """A run of `sd35` and one of its checkpoints."""

    run: Run
    checkpoint: Path
    registry: Registry

    @property
    def options(self) -> SD35Options:
        """`[model.extras]`."""
        options = self.run.options["architectures"]
        assert isinstance(options, SD35Options), "checked where it was opened"
        return options

    @property
    def text(self) -> SD3TextOptions | None:
        """`[conditioning]` of a run with captions through SD3's encoders."""
        options = self.run.options["conditioners"]
        return options if isinstance(options, SD3TextOptions) else None

    def weights(self) -> dict[str, Tensor]:
        """What the checkpoint stores, averaged where the run kept an average: all weights, or adapters."""
        return stored_weights(self.run, self.checkpoint)

    def parts(self) -> tuple[nn.Module, Any, str]:
        """The network with trained weights (adapters merged), the codec, and what the network predicts."""
        assembly = load_assembly(self.run, self.checkpoint, read_card(self.checkpoint), self.registry)
        told = self.run.config.objective.prediction_type
        hint = getattr(assembly.network.denoiser, "prediction_hint", "")
        return assembly.network, assembly.codec, hint if told == "auto" else told


def open_trained(source: Path) -> Trained:
    """The newest intact checkpoint of a run directory, or a checkpoint.

    Raises:
        SdError: nothing intact is there, or it is of another architecture.
    """
    registry = discover()
    checkpoint = newest(source)
    run = read_resolved(checkpoint / RUN, registry=registry)
    if not isinstance(run.options["architectures"], SD35Options):
        raise SdError(f"{checkpoint} is a run of model {run.config.model.name!r}; diffusers has a pipeline for 'sd35'")
    return Trained(run, checkpoint, registry)
