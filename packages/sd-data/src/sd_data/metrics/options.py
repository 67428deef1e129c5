"""Options of the metrics. No torch, no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sd_core.plugin import Options


class ParametrisationOptions(Options):
    """`[evaluation.extras.aperiodic]`, `[evaluation.extras.alpha_peak]`."""

    fit: Literal["fast", "specparam"] = "fast"
    """How spectra are parametrised: "specparam" is the library itself, two thousand times slower (`sd-data[eval]`)."""


class MmdOptions(Options):
    """`[evaluation.extras.mmd]`."""

    components: Annotated[int, Field(ge=1)] = 20
    """Principal components of the features that are compared."""


class PrdcOptions(Options):
    """`[evaluation.extras.prdc]`."""

    neighbours: Annotated[int, Field(ge=1)] = 5
    """k: a ball around a window reaches to its k-th neighbour (Naeem 2020)."""
    components: Annotated[int, Field(ge=1)] = 20
    """Principal components of the features in which distances are taken."""


class FrechetOptions(Options):
    """`[evaluation.extras.frechet]`."""

    components: Annotated[int, Field(ge=1)] = 20
    """Principal components of the features that are compared."""


class UsefulnessOptions(Options):
    """`[evaluation.extras.usefulness]`."""

    inverse_regularisation: Annotated[float, Field(gt=0)] = 0.01
    """C of the classifier; small, since there are more features than subjects."""


class EegnetOptions(Options):
    """`[evaluation.extras.usefulness_eegnet]`."""

    seeds: Annotated[int, Field(ge=1)] = 3
    """Trainings of each kind, whose mean is given."""
    steps: Annotated[int, Field(ge=10)] = 150
    """Of a training, at 32 crops each."""
    crop_s: Annotated[float, Field(gt=0)] = 4.1
    """Length of a crop in seconds; longer windows are read crop by crop."""
    filters: Annotated[int, Field(ge=1)] = 8
    """Temporal filters (F1)."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """At its highest."""


class AgeOptions(Options):
    """`[evaluation.extras.age]`."""

    regularisation: Annotated[float, Field(gt=0)] = 300.0
    """Of the ridge regression on standardised features; large, since there are more features than people."""


class C2stOptions(Options):
    """`[evaluation.extras.c2st]`."""

    folds: Annotated[int, Field(ge=2)] = 5
    """Of the cross-validation; fewer where there are fewer subjects."""
    trees: Annotated[int, Field(ge=1)] = 60
    """Of the gradient boosting."""


class MemorisationOptions(Options):
    """`[evaluation.extras.memorisation]`."""

    max_shift_s: Annotated[float, Field(ge=0)] = 1.0
    """A copy is still a copy when it is moved by up to this many seconds."""
    max_frequency: Annotated[float, Field(gt=0)] = 20.0
    """Windows are compared below this frequency, in Hz; noise above it hides no copy."""


class LabelConsistencyOptions(Options):
    """`[evaluation.extras.label_consistency]`."""

    inverse_regularisation: Annotated[float, Field(gt=0)] = 0.01
    """C of the classifier; small, since there are more features than subjects."""
