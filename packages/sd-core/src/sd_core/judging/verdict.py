"""What the numbers mean, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sd_core.judging.surrogates import TITLES

TOLERANCE = 1.15
"""Two errors within this factor are called equal: about the spread of the floor over subsamples of 64 windows."""

Standing = dict[str, Any]
"""`floor`: whether the floor is reached; surrogate name -> "closer" | "equal" | "behind"; guards: `alarm`."""

Entry = Mapping[str, Any]


def standing(entry: Entry) -> Standing:
    """Where a score stands beside its floor and the surrogates; empty when it has no value.

    The error is |value - ideal|. The floor is reached within `TOLERANCE`; a surrogate is beaten
    ("closer") or better ("behind") by more than it. At the floor, a surrogate that is no closer than
    the floor itself counts as equal: the difference is chance.
    """
    if entry["value"] is None:
        return {}
    if entry["alarm"] is not None:
        return {"alarm": _rings(entry)}
    error = _error(entry, entry["value"])
    result: Standing = {}
    if entry["floor"] is not None:
        result["floor"] = error <= TOLERANCE * _error(entry, entry["floor"])
    for name, value in entry["surrogates"].items():
        if value is not None:
            result[name] = _against(error, _error(entry, value))
            if result[name] == "behind" and result.get("floor") and not _below_floor(entry, value):
                result[name] = "equal"
    return result


def verdict(scores: Mapping[str, Entry]) -> list[str]:
    """Plain sentences, the gravest first, from the entries of metrics.json."""
    entries = [entry for entry in scores.values() if entry["value"] is not None]
    guards = [entry for entry in entries if entry["alarm"] is not None]
    distances = [entry for entry in entries if entry["alarm"] is None and not entry["detail"]]
    alarms = _alarms(guards)
    return [
        *alarms,
        *_floor(distances),
        *_beyond(distances),
        *_behind(distances),
        *_matches(distances),
        *([] if alarms else _calm(guards)),
        *_undefined(scores.values()),
    ]


def _error(entry: Entry, value: float) -> float:
    return abs(value - float(entry["ideal"]))


def _below_floor(entry: Entry, value: float) -> bool:
    """Whether a surrogate is clearly closer than real training data: then reaching the floor is no excuse."""
    return _error(entry, value) * TOLERANCE < _error(entry, entry["floor"])


def _rings(entry: Entry) -> bool:
    """Whether a guard's value lies beyond its alarm, seen from the ideal."""
    if entry["alarm"] < entry["ideal"]:
        return bool(entry["value"] < entry["alarm"])
    return bool(entry["value"] > entry["alarm"])


def _against(error: float, other: float) -> Literal["closer", "equal", "behind"]:
    if error * TOLERANCE < other:
        return "closer"
    return "behind" if error > other * TOLERANCE else "equal"


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


def _floor(distances: Sequence[Entry]) -> list[str]:
    known = [entry for entry in distances if "floor" in entry["standing"]]
    reached = [entry for entry in known if entry["standing"]["floor"]]
    if not known:
        return []
    if len(reached) == len(known):
        return [f"On all {len(known)} scores as close to held-out recordings as real training data is."]
    share = f"{len(reached)} of {len(known)} scores"
    if not reached:
        return [f"On {share} as close to held-out recordings as real training data is."]
    return [f"On {share} as close to held-out recordings as real training data is: {_list(reached)}."]


def _beyond(distances: Sequence[Entry]) -> list[str]:
    """Scores on which every surrogate is beaten: the evidence of more than second-order statistics."""
    judged = [entry for entry in distances if _surrogates(entry)]
    best = [entry for entry in judged if set(_surrogates(entry).values()) == {"closer"}]
    if best:
        return [f"Closer than both surrogates on {_list(best)}."]
    if not judged:
        return []
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
    return [f"Not defined for these windows: {_list(missing)}."] if missing else []


def _surrogates(entry: Entry) -> dict[str, str]:
    return {name: entry["standing"][name] for name in TITLES if name in entry["standing"]}


def _name(entry: Entry) -> str:
    title = str(entry["title"])
    # "MMD" stays, "Kurtosis" loses its capital in the middle of a sentence.
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _list(entries: Sequence[Entry]) -> str:
    names = [_name(entry) for entry in entries]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
