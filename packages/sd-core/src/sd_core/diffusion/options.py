"""Options of core's own objective and conditioners. No torch: they are read with the config."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sd_core.options import ObjectiveOptions, Options, TextOptions

Width = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Attribute = Literal["gender", "health", "age", "class", "subject"]


class FlowOptions(ObjectiveOptions):
    """`[objective]` and `[objective.extras]` of "flow"."""

    _ENDPOINT: ClassVar = ("endpoint_l1", "endpoint_moments", "endpoint_variation", "endpoint_correlation")

    t_mean: float | None = None
    """Mean of logit(t) under "logit_normal": 0, or 0.8 when the network predicts samples."""
    t_std: Annotated[float, Field(gt=0)] | None = None
    """Standard deviation of logit(t) under "logit_normal": 1, or 0.8 when the network predicts samples."""
    mode_scale: Annotated[float, Field(ge=-1, le=1.75)] | None = None
    """Scale s of the "mode" density (SD3, equation 20): 0 is uniform, larger draws t to the middle; 1.29."""
    endpoint_l1: Weight = 0.0
    """Weight of the mean absolute error of the predicted endpoint x0, added to the flow's loss (JET, 2605.21280)."""
    endpoint_moments: Weight = 0.0
    """Weight of the errors of the endpoint's mean and standard deviation, per row."""
    endpoint_variation: Weight = 0.0
    """Weight of the error of the endpoint's total variation, per row and step."""
    endpoint_correlation: Weight = 0.0
    """Weight of one less Pearson's correlation between endpoint and data, per row."""
    endpoint_fade: Annotated[float, Field(ge=0, le=100)] | None = None
    """The four count (1 - t)^endpoint_fade at time t: 1; 0 asks as much in noise, where no endpoint can be known."""

    @model_validator(mode="after")
    def _refuse_what_would_do_nothing(self) -> Self:
        if self.loss_weighting != "none":
            raise ValueError(
                f"loss_weighting = '{self.loss_weighting}' belongs to variance-preserving objectives; "
                "flow weighs times through timestep_sampling"
            )
        for key, sampling in (("t_mean", "logit_normal"), ("t_std", "logit_normal"), ("mode_scale", "mode")):
            if getattr(self, key) is not None and self.timestep_sampling != sampling:
                raise ValueError(
                    f"{key} belongs to timestep_sampling = '{sampling}', not to '{self.timestep_sampling}'"
                )
        faded = self.endpoint_fade != type(self).model_fields["endpoint_fade"].default  # a resolved run names all keys
        if faded and not self.endpoint_losses:
            raise ValueError(f"endpoint_fade fades {', '.join(self._ENDPOINT)}; give one of them a weight")
        return self

    @property
    def endpoint_losses(self) -> dict[str, float]:
        """The endpoint losses that have a weight, by key."""
        return {key: getattr(self, key) for key in self._ENDPOINT if getattr(self, key)}


class ClassesOptions(Options):
    """`[conditioning]` of "classes"."""

    width: Width = 256
    """Width of the class embedding."""


class AttributesOptions(Options):
    """`[conditioning]` of "attributes"."""

    fields: Annotated[tuple[Attribute, ...], Field(min_length=1)] = ("gender", "health", "age")
    """The attributes the network is told. "subject" is whose window it is: samples are then drawn as of the people of
    the train split, and there are no others to ask for."""
    width: Width = 256
    """Width of the embedding that the attributes share."""

    @model_validator(mode="after")
    def _name_each_field_once(self) -> Self:
        if len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields names an attribute twice: {', '.join(self.fields)}")
        return self


class CaptionOptions(TextOptions):
    """`[conditioning]` of "caption"."""

    BYTES: ClassVar[str] = "bytes"
    """The encoder that is trained with the network."""

    encoder: str | Annotated[tuple[str, ...], Field(min_length=1)] = BYTES
    """"bytes" for a small text encoder that is trained with the network and needs no download; or the hub id or
    folder of a frozen one (CLIP, T5, BERT, ...), or a list of them."""
    width: Width = 256
    """Width of the vector and of the tokens."""
    tokens: Annotated[int, Field(ge=1)] = 16
    """How many tokens the network sees of a caption, whatever its length."""
    emit: Annotated[tuple[Literal["vector", "tokens"], ...], Field(min_length=1)] | None = None
    """What the network is told: "vector", "tokens" or both; without it, what the architecture takes."""
    layers: Width = 2
    """Blocks of the encoder "bytes"."""
    max_bytes: Width = 256
    """Longest caption that the encoder "bytes" reads."""
    word_rows: Width = 4096
    """Rows of the table that the encoder "bytes" hashes words and their pieces to; more for rich vocabularies."""
    too_long: Literal["refuse", "cut"] = "refuse"
    """What becomes of captions that are longer than the encoder takes; cutting is said, with their number."""

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders by name."""
        return (self.encoder,) if isinstance(self.encoder, str) else self.encoder

    @model_validator(mode="after")
    def _refuse_what_a_frozen_encoder_does_not_read(self) -> Self:
        if self.BYTES in self.encoders and len(self.encoders) > 1:
            raise ValueError('encoder = "bytes" stands alone; list frozen encoders only')
        ignored = [
            key
            for key in ("layers", "max_bytes", "word_rows")
            if getattr(self, key) != type(self).model_fields[key].default
        ]
        if ignored and self.BYTES not in self.encoders:
            raise ValueError(f'{" and ".join(ignored)} belongs to encoder = "bytes"; remove it')
        return self
