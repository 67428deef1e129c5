"""Who is learned from and who is kept for judging: a split by subject."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sd_core.plugin import SdError

SPLITS = ("train", "validation", "test")


def split_subjects(
    subjects: Mapping[str, tuple[Any, ...]], shares: tuple[float, float, float], seed: int
) -> dict[str, tuple[str, ...]]:
    """Deal subjects to splits so that each holds every group in about its share.

    The subjects of a group are shuffled and spread evenly over [0, 1); cutting [0, 1) at the shares then
    cuts every group there.

    Args:
        subjects: Subject -> its group, such as (gender, health); the order does not matter.
        shares: Of train, validation and test; a share of 0 leaves the split out.
        seed: Of the shuffle.

    Returns:
        Split -> subjects, sorted.

    Raises:
        SdError: there are too few subjects for the splits that were asked for.
    """
    wanted = [split for split, share in zip(SPLITS, shares, strict=True) if share > 0]
    if len(subjects) < len(wanted):
        raise SdError(
            f"{len(subjects)} subjects do not fill the splits {', '.join(wanted)}: add subjects, "
            "or leave splits out, as in --set split=[1,0,0]"
        )
    order = _spread(subjects, random.Random(seed))
    edges = _edges(len(order), [share for share in shares if share > 0])
    return {split: tuple(sorted(order[a:b])) for split, a, b in zip(wanted, edges, edges[1:], strict=False)}


def _spread(subjects: Mapping[str, tuple[Any, ...]], chance: random.Random) -> list[str]:
    groups: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for subject in sorted(subjects):
        groups[subjects[subject]].append(subject)
    places: list[tuple[float, str]] = []
    for group in sorted(groups, key=str):
        members = groups[group]
        chance.shuffle(members)
        offset = chance.random()
        places += [((i + offset) / len(members), subject) for i, subject in enumerate(members)]
    return [subject for _, subject in sorted(places)]


def _edges(count: int, shares: list[float]) -> list[int]:
    """Rounded cuts that leave every split at least one subject."""
    edges, total = [0], 0.0
    for number, share in enumerate(shares[:-1], start=1):
        total += share
        still_to_fill = len(shares) - number
        edges.append(min(max(round(total * count), edges[-1] + 1), count - still_to_fill))
    return [*edges, count]
