"""What the numbers mean, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sd_core.judging.surrogates import TITLES

TOLERANCE = 1.15
"""Two errors within this factor are called equal where no interval is known: about the spread of the floor over
subsamples of 64 windows."""
RELEVANT = 1.1
"""Two errors within this factor are called equal however sure it is that they differ: what is significant for a
thousand windows need not matter, and of thirty comparisons one is significant by chance."""
CLOSE = 1.5
"""An error beyond this many times the floor's is not called the floor's, though chance may be why: windows too few to
tell two errors apart are no proof that they are the same."""
FEW_WINDOWS = 32
FEW_PEOPLE = 5
"""Below these an interval is a guess itself, and so wide that little can be told apart."""
MANY_PEOPLE = 20
"""Below this the verdict says how many there are."""

Standing = dict[str, Any]
"""`floor`: whether the floor is reached, None where that cannot be told;
surrogate name -> "closer" | "equal" | "behind"; guards: `alarm`."""

Entry = Mapping[str, Any]


def standing(entry: Entry) -> Standing:
    """Where a score stands beside its floor and the surrogates; empty when it has no value.

    The error is |value - ideal|. Two errors are equal when their difference lies inside its 95 % margin
    (`margins`), the score's slack or a tenth of the smaller one. The floor is reached by an error that is
    smaller or equal, and at most `CLOSE` times as large; one that is equal by its margin alone cannot be told.
    A surrogate is beaten ("closer"), "equal" or better ("behind"). At the floor, a surrogate that is no
    closer than the floor itself counts as equal: the difference is chance.
    """
    if entry["value"] is None:
        return {}
    if entry["alarm"] is not None:
        return {"alarm": rings(entry["value"], entry)}
    error = _error(entry, entry["value"])
    result: Standing = {}
    if entry["floor"] is not None:
        equal = _against(entry, "floor", error, _error(entry, entry["floor"])) != "behind"
        result["floor"] = (True if _times(entry) <= CLOSE or _tied(entry) else None) if equal else False
    for name, value in entry["surrogates"].items():
        if value is not None:
            result[name] = _against(entry, name, error, _error(entry, value))
            if result[name] == "behind" and result.get("floor") and not _below_floor(entry, name):
                result[name] = "equal"
    return result


def verdict(
    scores: Mapping[str, Entry], *, compared: int | None = None, generated: int | None = None, people: int | None = None
) -> list[str]:
    """Plain sentences, the gravest first.

    Args:
        scores: The entries of metrics.json.
        compared: Windows that were compared, when known.
        generated: Windows that were there to compare, when known.
        people: Subjects of the held-out windows, when known.
    """
    entries = [entry for entry in scores.values() if entry["value"] is not None]
    guards = [entry for entry in entries if entry["alarm"] is not None]
    distances = [entry for entry in entries if entry["alarm"] is None and not entry["detail"]]
    alarms = _alarms(guards)
    return [
        *alarms,
        *(_few(compared, generated, people) if distances else []),
        *_floor(distances, people),
        *_beyond(distances),
        *_behind(distances),
        *_matches(distances),
        *([] if alarms else _calm(guards)),
        *_undefined(scores.values()),
    ]


def _error(entry: Entry, value: float) -> float:
    return abs(value - float(entry["ideal"]))


def _below_floor(entry: Entry, name: str) -> bool:
    """Whether a surrogate is clearly closer than real training data: then reaching the floor is no excuse."""
    floor, surrogate = (_error(entry, value) for value in (entry["floor"], entry["surrogates"][name]))
    return _against(entry, name, floor, surrogate) == "behind"


def rings(value: float, guard: Entry) -> bool:
    """Whether a value lies beyond the alarm of a guard (`alarm`, `ideal`), seen from the ideal."""
    if guard["alarm"] < guard["ideal"]:
        return bool(value < guard["alarm"])
    return bool(value > guard["alarm"])


def _against(entry: Entry, name: str, error: float, other: float) -> Literal["closer", "equal", "behind"]:
    margin = entry["margins"].get(name)
    factor = TOLERANCE if margin is None else RELEVANT
    if abs(error - other) <= max(margin or 0.0, entry["slack"], (factor - 1) * min(error, other)):
        return "equal"
    return "closer" if error < other else "behind"


def _tied(entry: Entry) -> bool:
    """Whether a score and its floor differ by less than means anything."""
    return bool(abs(_error(entry, entry["value"]) - _error(entry, entry["floor"])) <= entry["slack"])


def _few(compared: int | None, generated: int | None, people: int | None) -> list[str]:
    """A warning where intervals are hardly worth their name."""
    found = []
    if compared is not None and compared < FEW_WINDOWS:
        told = f"only {compared} generated window{'s were' if compared != 1 else ' was'} compared"
        fewer = generated is not None and generated > compared
        found.append(f"{told} (of {generated}, since there are no more training windows)" if fewer else told)
    if people is not None and people < FEW_PEOPLE:
        found.append(f"the held-out windows are of {people} {'people' if people != 1 else 'person'} only")
    if not found:
        return []
    said = " and ".join(found)
    return [f"Few data: {said}, so only large differences can be seen and what is called equal may not be."]


def _alarms(guards: Sequence[Entry]) -> list[str]:
    ringing = [entry for entry in guards if entry["standing"]["alarm"]]
    return [
        f"Warning: {clause} ({evidence}). The other scores say nothing until this is mended."
        for clause, evidence in _by_clause(ringing, ", limit {alarm:.2f}")
    ]


def _calm(guards: Sequence[Entry]) -> list[str]:
    return [f"No sign that {clause}: {evidence}." for clause, evidence in _by_clause(guards, "")]


def _by_clause(guards: Sequence[Entry], more: str) -> list[tuple[str, str]]:
    """(what an alarm means, the numbers that speak for or against it)."""
    clauses = dict.fromkeys(entry["alarm_means"] for entry in guards)
    evidence = {
        clause: "; ".join(
            f"{_name(entry)} {entry['value']:.2f}{more.format(alarm=entry['alarm'])}"
            for entry in guards
            if entry["alarm_means"] == clause
        )
        for clause in clauses
    }
    return list(evidence.items())


def _floor(distances: Sequence[Entry], people: int | None) -> list[str]:
    known = [entry for entry in distances if "floor" in entry["standing"]]
    reached = [entry for entry in known if entry["standing"]["floor"]]
    missed = [entry for entry in known if entry["standing"]["floor"] is False]
    unsure = [entry for entry in known if entry["standing"]["floor"] is None]
    if not known:
        return []
    every = f"all {len(known)} scores" if len(known) > 1 else "the only score"
    share = f"{len(reached)} of {len(known)} scores" if missed or unsure else every
    claim = f"n {share} as close to held-out recordings as real training data is"
    named = f": {_list(reached)}" if reached and (missed or unsure) else ""
    # What few people cannot tell apart is no proof that it is the same.
    certain = people is None or not FEW_PEOPLE <= people < MANY_PEOPLE
    opening = "O" if certain else f"As far as {people} held-out people can tell, o"
    told = [opening + claim + named + (_rest(missed, bool(reached or unsure)) if missed else "") + "."]
    return told + ([_unsure(unsure)] if unsure else [])


def _unsure(entries: Sequence[Entry]) -> str:
    """Scores that are further off than the floor, by less than chance may do."""
    most = max(map(_times, entries))
    how_far = "" if math.isinf(most) else f", up to {_figure(most)} times as far"
    return f"Further off{how_far}, though so few recordings cannot exclude chance: {_list(entries)}."


def _rest(missed: Sequence[Entry], others: bool) -> str:
    """How far the scores are that miss the floor, as a clause: their error over that of real training data."""
    times = sorted(((_times(entry), _name(entry)) for entry in missed), key=lambda pair: pair[0])
    (least, _), (most, furthest) = times[0], times[-1]
    if math.isinf(most):
        return ""
    if len(times) == 1:
        return f"; {furthest} is {_figure(most)} times as far"
    who = f"{'the other' if others else 'all'} {len(times)} are"
    span = _figure(least) if _figure(least) == _figure(most) else f"{_figure(least)} to {_figure(most)}"
    return f"; {who} {span} times as far, {furthest} the furthest"


def _times(entry: Entry) -> float:
    """A tie of the floor with the ideal counts as the slack, the least that means anything."""
    floor = max(_error(entry, entry["floor"]), entry["slack"])
    return _error(entry, entry["value"]) / floor if floor > 0 else math.inf


def _figure(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def _beyond(distances: Sequence[Entry]) -> list[str]:
    """Scores on which every surrogate is beaten: the evidence of more than second-order statistics."""
    judged = [entry for entry in distances if _surrogates(entry)]
    best = [entry for entry in judged if set(_surrogates(entry).values()) == {"closer"}]
    if best:
        return [f"Closer than both surrogates on {_list(best)}."]
    if not judged:
        return []
    if any("behind" in _surrogates(entry).values() for entry in judged):
        return ["No score beats both surrogates."]
    return ["No score beats both surrogates: nothing here shows more than a spectrum and a covariance."]


def _behind(distances: Sequence[Entry]) -> list[str]:
    sentences = []
    for surrogate, title in TITLES.items():
        worse = [entry for entry in distances if entry["standing"].get(surrogate) == "behind"]
        if worse:
            sentences.append(f"A {title} surrogate is still closer on {_list(worse)}.")
    return sentences


def _matches(distances: Sequence[Entry]) -> list[str]:
    """Scores off the floor that some surrogate equals and none exceeds."""
    same = []
    for entry in distances:
        found = set(_surrogates(entry).values())
        if "equal" in found and "behind" not in found and not entry["standing"].get("floor", False):
            same.append(entry)
    return [f"No better than a surrogate on {_list(same)}."] if same else []


def _undefined(entries: Iterable[Entry]) -> list[str]:
    missing = [entry for entry in entries if entry["value"] is None and not entry["detail"]]
    notes = dict.fromkeys(entry["note"] for entry in missing)
    return [
        f"Not defined for these windows: {_list([entry for entry in missing if entry['note'] == note])}"
        + (f" ({note.removeprefix('n/a: ')})." if note else ".")
        for note in notes
    ]


def _surrogates(entry: Entry) -> dict[str, str]:
    return {name: entry["standing"][name] for name in TITLES if name in entry["standing"]}


def _name(entry: Entry) -> str:
    title = str(entry["title"])
    # "MMD" and "C2ST" stay, "Kurtosis" loses its capital in the middle of a sentence.
    abbreviation = any(letter.isupper() for letter in title.split(maxsplit=1)[0][1:])
    return title if abbreviation else title[:1].lower() + title[1:]


def _list(entries: Sequence[Entry]) -> str:
    names = [_name(entry) for entry in entries]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
