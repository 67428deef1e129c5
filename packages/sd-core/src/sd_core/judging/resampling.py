"""How far a score would move with other people and other windows: balanced half-samples.

Many scores here are made of nearest neighbours or of pairs, and break when a window occurs twice, as in a
bootstrap. A half-sample without replacement has no window twice. Split people at random into complementary
halves and score each half: for a score that is a mean, half the difference of the two has the variance of
the score of everybody (McCarthy 1969, "Pseudo-replication: half samples", section 4; Wolter 2007,
"Introduction to Variance Estimation", section 3.4), and for smooth functions of means nearly so. What a
score gains or loses by having fewer windows (Wasserstein distances and recall do) is the same in both halves
and cancels. Where the leading term vanishes, as for MMD² of equal distributions, halves move more than they
should, and the interval is too wide by about the square root of two.

Held-out windows are split by subject, because windows of one person are alike; generated ones by window, or by
subject where they have a column of subjects. A single person has no halves: nothing says how others differ.
What is not resampled is the training of the model: an interval is about judging these weights, not about
training again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sd_core.task import Windows

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

PAIRS = 25
"""Complementary halves: the deviation is then known to a seventh, and two of three metrics take seconds."""

_STUDENT = (
    *(12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16),
    *(2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06),
)
"""Two-sided 95 % points of Student's t for 1 to `PAIRS` degrees of freedom."""

Interval = tuple[float, float]
Halved = Mapping[str, NDArray[np.float64]]
"""Score -> its values on the halves: (pairs, 2)."""


@dataclass(frozen=True)
class Halves:
    """Complementary halves of a set of windows."""

    pairs: tuple[tuple[Rows, Rows], ...]
    """Empty for a set that cannot be halved."""
    groups: int
    """People, or windows where people are not known."""


def groups_of(windows: Windows) -> list[Any]:
    """The group of every window: its person; itself where that is not said."""
    return [row if person is None else person for row, person in enumerate(windows.persons)]


def halves(windows: Windows, seed: Sequence[int]) -> Halves:
    """`PAIRS` random splits of the groups of these windows into two halves, which differ by one group at most."""
    groups = groups_of(windows)
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    if len(number) < 2:
        return Halves((), len(number))
    member = np.array([number[group] for group in groups])
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(PAIRS):
        first = np.isin(member, rng.permutation(len(number))[: len(number) // 2])
        pairs.append((np.flatnonzero(first), np.flatnonzero(~first)))
    return Halves(tuple(pairs), len(number))


def on_halves(scorer: Scorer, real: Halves, generated: Halves) -> Halved:
    """What a metric says of the halves; a score that some half does not define is left out."""
    found = [
        [scorer(theirs, ours) for theirs, ours in zip(*sides, strict=True)]
        for sides in zip(real.pairs, generated.pairs, strict=False)
    ]
    if not found:
        return {}
    keys = set.intersection(*(set(scores) for pair in found for scores in pair))
    values = {key: np.array([[scores[key] for scores in pair] for pair in found]) for key in keys}
    return {key: value for key, value in values.items() if np.isfinite(value).all()}


def freedom(real: Halves, generated: Halves) -> int:
    """Degrees of freedom: of the side with fewer groups, as if all chance came from there."""
    return max(1, min(real.groups - 1, generated.groups - 1, PAIRS))


def margin(halved: NDArray[np.float64], degrees: int) -> float:
    """How far chance takes a score at 95 %, either way.

    Args:
        halved: Its values on complementary halves, (pairs, 2).
        degrees: See `freedom`.
    """
    deviations = (halved[:, 0] - halved[:, 1]) / 2
    return _STUDENT[degrees - 1] * math.sqrt(float((deviations**2).mean()))


def interval(value: float, ideal: float, halved: NDArray[np.float64], degrees: int) -> Interval:
    """The 95 % interval around the value of all windows.

    It ends at the ideal where no half lies beyond: a distance is not negative.
    """
    reach = margin(halved, degrees)
    low, high = value - reach, value + reach
    if min(value, float(halved.min())) >= ideal:
        low = max(low, ideal)
    if max(value, float(halved.max())) <= ideal:
        high = min(high, ideal)
    return low, high
