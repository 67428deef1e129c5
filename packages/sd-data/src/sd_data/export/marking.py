"""What every exported file says about itself: that nobody was recorded, and what drew it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sd_core.plugin import Windows

GENERATOR = "Signal Diffusion"
MARK = "SYNTHETIC EEG, not a recording of a person"
"""How every description begins."""


def statement(provenance: Mapping[str, Any]) -> str:
    """One sentence for people, then the whole provenance as JSON behind "provenance: "."""
    return f"{MARK}; drawn by {GENERATOR} from {model_id(provenance)}. provenance: {in_json(provenance)}"


def model_id(provenance: Mapping[str, Any]) -> str:
    """Which model, and which seed, in a few words: "dit checkpoint-1000 (EMA 0.05), seed 0"."""
    average = f" (EMA {provenance['ema']})" if provenance.get("ema") else ""
    model, checkpoint = (provenance.get(key) or "unknown" for key in ("model", "checkpoint"))
    return f"{model} {checkpoint}{average}, seed {provenance.get('seed', 'unknown')}"


def version(provenance: Mapping[str, Any]) -> str:
    """Of the software that drew the windows."""
    plugins: Mapping[str, Any] = provenance.get("plugins") or {}
    return str(plugins.get("sd-core", "unknown"))


def in_json(provenance: Mapping[str, Any]) -> str:
    """The provenance in ASCII; what JSON does not know is written as text."""
    return json.dumps(dict(provenance), default=str)


def labels_of(windows: Windows, number: int) -> dict[str, Any]:
    """The labels that a window was asked for; a missing one is None."""
    return {name: values[number] for name, values in windows.columns.items()}


def states(windows: Windows) -> Sequence[Any]:
    """What each window shows by order: its state or class, None where neither was asked for."""
    for column in ("state", "label"):
        if column in windows.columns:
            return windows.columns[column]
    return [None] * len(windows)
