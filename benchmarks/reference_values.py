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
    chance: tuple[str, ...] = (OTHERS,)
    """Rows without an a: their windows differ from the reference as two groups of people do, by chance."""
    differs: str = ""
    """How the published values were measured otherwise."""

    @property
    def published(self) -> Mapping[str, float]:
        """Row -> value."""
        return dict(zip(ROWS, self.values, strict=True))


_SECOND = (OTHERS, SHARED)
"""Shared random phases keep what second-order scores see."""
_FIT = "published: a line through 2-40 Hz without 7-14 Hz; ours takes all peaks off before the line is drawn"
_REFERENCE = (
    "published: as recorded, with a ridge of .001 uV^2; ours after average reference, in the training eigenspace"
)
_FOLDS = (
    "published: one area over the pooled guesses of six folds; ours is the mean over five folds, .5 where it is below, "
    "and trees with smaller leaves"
)
COLUMNS = (
    Column("LSD dB", "log_spectral_distance", "log_spectral_distance", 2, (0.65, 0.67, 1.39, 9.6, 1.85), _SECOND),
    Column("band W1", "band_power", "band_power", 2, (0.168, 0.169, 0.45, 1.48, 0.38), _SECOND),
    Column("exp W1", "aperiodic", "aperiodic", 2, (0.074, 0.074, 0.15, 1.75, 0.074), _SECOND, _FIT),
    Column("AIRM", "covariance", "covariance", 2, (2.41, 2.41, 4.5, 4.6, 2.8), _SECOND, _REFERENCE),
    Column("kurt W1", "kurtosis", "kurtosis", 2, (0.115, 0.52, 0.52, 0.51, 0.115), (OTHERS, LOUDER)),
    Column("ACF", "autocorrelation", "autocorrelation", 2, (0.020, 0.020, 0.028, 0.116, 0.020), _SECOND),
    Column("MMD^2", "mmd", "mmd", 1, (0.030, 0.031, 0.38, 1.04, 0.052)),
    Column("C2ST linear", "c2st", "linear", 0, (0.45, 0.55, 0.96, 1.0, 0.69), differs=_FOLDS),
    Column("C2ST boosted", "c2st", "c2st", 0, (0.52, 0.91, 1.0, 1.0, 0.71), differs=_FOLDS),
    Column("precision", "prdc", "precision", 0, (0.59, 0.59, 1.0, 0.0, 0.61)),
    Column("recall", "prdc", "recall", 0, (0.18, 0.17, 0.0, 0.0, 0.13)),
)
SLOW = frozenset({"c2st"})
"""Components that take most of the time."""

SPREADS: Mapping[str, tuple[float, ...]] = {
    "LSD dB": (0.328, 0.334, 0.615, 0.605, 0.762),
    "band W1": (0.064, 0.063, 0.094, 0.043, 0.180),
    "exp W1": (0.028, 0.026, 0.028, 0.038, 0.028),
    "AIRM": (0.262, 0.262, 0.971, 0.985, 0.629),
    "kurt W1": (0.111, 0.105, 0.102, 0.099, 0.111),
    "ACF": (0.004, 0.004, 0.006, 0.005, 0.004),
    "MMD^2": (0.016, 0.014, 0.053, 0.067, 0.046),
    "C2ST linear": (0.047, 0.058, 0.018, 0.000, 0.134),
    "C2ST boosted": (0.052, 0.067, 0.000, 0.000, 0.136),
    "precision": (0.065, 0.065, 0.003, 0.000, 0.132),
    "recall": (0.115, 0.112, 0.000, 0.000, 0.113),
}
"""Standard deviation over eight draws of ten people against ten, in the order of `ROWS`."""
MEASURED: Mapping[str, tuple[float, ...]] = {
    "LSD dB": (0.976, 0.9567, 1.291, 9.296, 1.38),
    "band W1": (0.2992, 0.2959, 0.4164, 1.436, 0.3483),
    "exp W1": (0.1228, 0.1185, 0.1253, 1.667, 0.1228),
    "AIRM": (2.883, 2.883, 4.034, 4.202, 2.915),
    "kurt W1": (0.1209, 0.5989, 0.5996, 0.5826, 0.1209),
    "ACF": (0.02205, 0.02191, 0.02829, 0.1236, 0.02205),
    "MMD^2": (0.04303, 0.04373, 0.3366, 1.102, 0.05758),
    "C2ST linear": (0.5, 0.5266, 0.9905, 1, 0.5646),
    "C2ST boosted": (0.6289, 0.8624, 1, 1, 0.6127),
    "precision": (0.6295, 0.6475, 1, 0, 0.6403),
    "recall": (0.2357, 0.2393, 0, 0, 0.2964),
}
"""Mean of the first two of these draws by the metrics as they are: what changes it is another definition."""
