"""Base classes for the options of components. No torch: reading a config stays cheap."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sd_core.errors import SdError
from sd_core.templates import Template

PredictionType = Literal["auto", "vector_field", "sample", "epsilon", "v_prediction"]


class Options(BaseModel):
    """Options of a component: unknown keys are errors, types are strict, values do not change.

    The docstring under each field is its entry in the generated reference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class NoOptions(Options):
    """For components without options."""


class ObjectiveOptions(Options):
    """What every objective is told: the keys of `[objective]`; a subclass adds `[objective.extras]`."""

    prediction_type: PredictionType = "auto"
    """What the network predicts; "auto" takes the network's own hint."""
    timestep_sampling: Literal["logit_normal", "uniform", "mode"] = "logit_normal"
    """Density of training times in [0, 1] (0 = data, 1 = noise)."""
    loss_weighting: Literal["none", "min_snr"] = "none"
    """Weight of each time in the loss."""


class SamplerOptions(Options):
    """What every sampler is told: keys of `[inference]`; a subclass adds `[inference.extras]`."""

    denoising_steps: int = Field(default=15, ge=1)
    """Number of integration steps from noise to data."""
    shift: float = Field(default=1.0, gt=0)
    """Time shift s t / (1 + (s - 1) t) of the step grid (SD3, equation 23); 1 leaves it uniform."""


class TextOptions(Options):
    """What every conditioner that reads captions is told; a subclass adds its own.

    The data then hold a caption for every window: the column `[dataset] caption_column`, which must be there, or
    what the template makes of other labels.
    """

    template: str | None = None
    """A sentence over labels instead of a text column: "EEG of a(n)[ {age:.0f}-year-old] {gender:F=woman|M=man}".
    Names the roles class, gender, health and age, or any column. A part in square brackets is left out where a label
    in it is missing."""

    @field_validator("template")
    @classmethod
    def _readable(cls, text: str | None) -> str | None:
        try:
            return text if text is None else Template(text).text
        except SdError as error:
            raise ValueError(str(error)) from error
