"""What the scores of real people and of surrogates were when EEG.md was written: 18 people of eegmat against 18."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PUBLISHED_PEOPLE = 18
"""A side."""

OTHERS, SHARED, GROUP, WHITE, LOUDER = (
    "real, other people",
    "phase-randomised",
    "Gaussian",
    "white, matched covariance",
    "real x 1.2",
)
ROWS = (OTHERS, SHARED, GROUP, WHITE, LOUDER)


@dataclass(frozen=True)
class Column:
    """A score of the table, and where it is found."""

    title: str
    metric: str
    """The component."""
    score: str
    """One of its scores."""
    law: int
    """value^law = a + b / people: 2 for distances, whose squares add up, 1 for squared ones, 0 where none is known."""
    values: tuple[float, ...]
    """As published, in the order of `ROWS`."""
    differs: str = ""
    """How the published values were measured otherwise."""

    @property
    def published(self) -> Mapping[str, float]:
        """Row -> value."""
        return dict(zip(ROWS, self.values, strict=True))


_FIT = "published: a line through 2-40 Hz without 7-14 Hz; ours takes all peaks off before the line is drawn"
_REFERENCE = (
    "published: as recorded, with a ridge of .001 uV^2; ours after average reference, in the training eigenspace"
)
_FOLDS = (
    "published: one area over the pooled guesses of six folds; ours is the mean over five folds, chance when below .5, "
    "and a smaller-leaved forest"
)
COLUMNS = (
    Column("LSD dB", "log_spectral_distance", "log_spectral_distance", 2, (0.65, 0.67, 1.39, 9.6, 1.85)),
    Column("band W1", "band_power", "band_power", 2, (0.168, 0.169, 0.45, 1.48, 0.38)),
    Column("exp W1", "aperiodic", "aperiodic", 2, (0.074, 0.074, 0.15, 1.75, 0.074), _FIT),
    Column("AIRM", "covariance", "covariance", 2, (2.41, 2.41, 4.5, 4.6, 2.8), _REFERENCE),
    Column("kurt W1", "kurtosis", "kurtosis", 2, (0.115, 0.52, 0.52, 0.51, 0.115)),
    Column("ACF", "autocorrelation", "autocorrelation", 2, (0.020, 0.020, 0.028, 0.116, 0.020)),
    Column("MMD^2", "mmd", "mmd", 1, (0.030, 0.031, 0.38, 1.04, 0.052)),
    Column("C2ST linear", "c2st", "linear", 0, (0.45, 0.55, 0.96, 1.0, 0.69), _FOLDS),
    Column("C2ST boosted", "c2st", "c2st", 0, (0.52, 0.91, 1.0, 1.0, 0.71), _FOLDS),
    Column("precision", "prdc", "precision", 0, (0.59, 0.59, 1.0, 0.0, 0.61)),
    Column("recall", "prdc", "recall", 0, (0.18, 0.17, 0.0, 0.0, 0.13)),
)
SLOW = frozenset({"c2st"})
"""Components that take most of the time."""
