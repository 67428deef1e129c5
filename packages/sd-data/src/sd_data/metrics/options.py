"""Options of the metrics. No torch, no numpy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sd_core.plugin import Options


class MmdOptions(Options):
    """`[evaluation.extras.mmd]`."""

    components: Annotated[int, Field(ge=1)] = 20
    """Principal components of the features that are compared."""


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
