"""The model card: what the windows are, how they were made and judged, and what they may be used for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sd_core.plugin import Windows, data_name
from sd_data.report.layout import section
from sd_data.report.tables import card_table

_GUIDANCE = ("guidance", "cfg_scale", "guidance_interval", "guidance_exponent", "guidance_checkpoint")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Model": (
        "model",
        "representation",
        "exact_representation",
        "conditioning",
        "checkpoint",
        "step",
        "ema",
        "plugins",
    ),
    "Training data": ("trained_on", "data"),
    "Sampling": (
        *("generated", "asked", "sampler", "denoising_steps", "shift", "evaluations_per_example"),
        "seed",
        *_GUIDANCE,
    ),
    "Judged against": ("real", "reference_split", "reference", "judging_seed"),
}
"""Heading -> keys of the card; what is not named here stands below "More"."""
_SAID_ELSEWHERE = frozenset({"synthetic", "generator", "subjects", "batch_size", "count"})
_PLACES = frozenset({"trained_on", "real", "generated"})
_LABELS = ("state", "label", "gender", "health")
_MOST_VALUES = 6

USE = (
    "<b>These windows are synthetic.</b> They are not recordings of any person: say so wherever they are shown, shared "
    "or published. Exported files are marked.",
    "Suited to what the verdict says that they match: trying out methods and software, teaching, more training data. "
    "Keep them in the training split, and test on recordings only.",
    "Not suited to diagnosis or any decision about a person, nor as evidence about people or groups: "
    "what a model has made up cannot be told from what it has learned.",
    "The search for copies compares whole windows. It does not make them anonymous: the licence of the training data, "
    "and what its people agreed to, hold for windows made from it.",
)
_SYNTHESISED = "Their phases were not generated but synthesised to fit spectra: read nothing into the shape of waves."
_COPIED = "<b>Do not pass these windows on</b>: a guard has rung, see the verdict."


def card(evaluation: Mapping[str, Any], windows: Mapping[str, Windows]) -> str:
    """The section. Facts that are not known are left out; those that the windows themselves tell are always there."""
    facts: Mapping[str, Any] = evaluation.get("card") or {}
    told = {"Training data": windows["train"], "Sampling": windows["generated"], "Judged against": windows["real"]}
    groups = {
        heading: {key: _named(key, facts[key]) for key in keys if key in facts} for heading, keys in GROUPS.items()
    }
    if facts.get("cfg_scale") == 1:  # whatever else is said of guidance then does nothing
        unguided = {key: value for key, value in groups["Sampling"].items() if key not in _GUIDANCE}
        groups["Sampling"] = unguided | {"guidance": None}
    groups["Training data"] |= _source(groups["Training data"].pop("data", {}))
    for heading, held in told.items():
        groups[heading] |= people(held)
    known = {key for keys in GROUPS.values() for key in keys} | _SAID_ELSEWHERE
    groups["More"] = {key: value for key, value in facts.items() if key not in known}
    tables = "".join(f"<h3>{heading}</h3>{card_table(rows)}" for heading, rows in groups.items() if rows)
    return section("Model card", "", _use(evaluation, facts) + f'<div class="facts">{tables}</div>')


def _named(key: str, value: Any) -> Any:
    return data_name(value) if key in _PLACES and isinstance(value, str) else value


def people(windows: Windows) -> dict[str, Any]:
    """What a set of windows holds: how many, of how many people, their ages and labels."""
    columns = windows.columns
    rows: dict[str, Any] = {"windows": len(windows)}
    if named := {subject for subject in columns.get("subject", ()) if subject is not None}:
        rows["people"] = len(named)
    if ages := [float(age) for age in columns.get("age", ()) if age is not None]:
        rows["ages"] = f"{min(ages):.0f} to {max(ages):.0f} years"
    seen: list[Sequence[Any]] = []
    for name in _LABELS:
        values = columns.get(name, ())
        if any(value is not None for value in values) and list(values) not in seen:
            seen.append(list(values))
            rows[f"{name} (windows)"] = _counted(values)
    return rows


def _source(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset says of itself, a row per fact; that it was recorded goes without saying."""
    rows = {key: value for key, value in data.items() if key != "synthetic"}
    return rows | ({"itself synthetic": True} if data.get("synthetic") else {})


def _counted(values: Sequence[Any]) -> str:
    counts = Counter("unknown" if value is None else str(value) for value in values).most_common()
    shown = ", ".join(f"{value} {count}" for value, count in counts[:_MOST_VALUES])
    return shown + (f" and {len(counts) - _MOST_VALUES} more" if len(counts) > _MOST_VALUES else "")


def _use(evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    rings = any(entry["standing"].get("alarm") for entry in evaluation["scores"].values())
    said = [_COPIED] * rings + list(USE) + [_SYNTHESISED] * (facts.get("exact_representation") is False)
    return f'<ul class="use">{"".join(f"<li>{sentence}</li>" for sentence in said)}</ul>'
