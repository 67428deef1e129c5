"""Tables of the report as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

Entry = Mapping[str, Any]

MARKS = {
    "alarm": ("✕", "alarm"),
    "clear": ("●", "no alarm"),
    "floor": ("●", "reaches the floor"),
    "passed": ("●", "reaches the floor; a surrogate is closer"),
    "unsure": ("○", "cannot be told from the floor"),
    "beyond": ("◐", "beats both surrogates"),
    "equal": ("○", "like a surrogate"),
    "behind": ("✕", "a surrogate is closer"),
    "": ("", ""),
}
"""Standing -> (sign, words): readable without colour."""


def scores_table(evaluation: Mapping[str, Any], *, detail: bool) -> str:
    """The scores beside floor and surrogates; with `detail` only the parts and the context."""
    entries = {key: entry for key, entry in evaluation["scores"].items() if bool(entry["detail"]) == detail}
    references: Mapping[str, str] = evaluation["references"]
    columns = ["Score", "Generated", *map(_capital, references.values()), "", ""]
    head = "".join(f"<th scope=col>{escape(column)}</th>" for column in columns)
    rows = "".join(_row(entry, references) for entry in entries.values())
    return f"<table class=scores><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if entries else ""


def _row(entry: Entry, references: Mapping[str, str]) -> str:
    numbers = {name: entry["floor"] if name == "floor" else entry["surrogates"].get(name) for name in references}
    unit = f" <small>{escape(entry['unit'])}</small>" if entry["unit"] else ""
    cells = [f"<th scope=row>{escape(entry['title'])}{unit}{_ideal(entry)}</th>"]
    ours = _number(entry["value"], entry["note"]) + _interval(entry, "interval")
    cells.append(f'<td class="number ours" data-label="Generated">{ours}</td>')
    cells += [
        f'<td class=number data-label="{escape(_capital(references[name]))}">{_number(value)}'
        f"{_interval(entry, 'floor_interval') if name == 'floor' else ''}</td>"
        for name, value in numbers.items()
    ]
    sign, words = MARKS[mark(entry)]
    # A guard is compared with its limit, not with others.
    drawn = "" if entry["alarm"] is not None else strip(entry["value"], numbers, entry["ideal"])
    cells.append(f"<td class=strip>{drawn}</td>")
    cells.append(f"<td class=mark><b>{sign}</b> {words}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def mark(entry: Entry) -> str:
    """Which of `MARKS` an entry gets."""
    standing = dict(entry["standing"])
    if "alarm" in standing:
        return "alarm" if standing["alarm"] else "clear"
    floor = standing.pop("floor", False)
    found = set(standing.values())
    if floor:
        return "passed" if "behind" in found else "floor"
    if "behind" in found:
        return "behind"
    if floor is None:
        return "unsure"
    if not found:
        return ""
    return "beyond" if found == {"closer"} else "equal"


def _ideal(entry: Mapping[str, Any]) -> str:
    """Where the best value is, unless it is zero as for a distance, and from where on an alarm rings."""
    said = [f"ideal {entry['ideal']:g}"] if entry["ideal"] or entry["alarm"] is not None else []
    said += [f"limit {entry['alarm']:g}"] if entry["alarm"] is not None else []
    return f" <small>{', '.join(said)}</small>" if said else ""


def strip(value: float | None, others: Mapping[str, float | None], ideal: float) -> str:
    """Where a score lies between ideal (left) and the worst (right): a dot for the model, shapes for the rest."""
    errors = [abs(other - ideal) if other is not None else None for other in others.values()]
    known = [error for error in errors if error is not None]
    if value is None or not known:
        return ""
    scale = 100 / max([abs(value - ideal), *known, 1e-12])
    shapes = ("M0,-6v12", "M0,-5l5,5l-5,5l-5,-5z", "M0,-5l5,9h-10z", "M-4,-4h8v8h-8z")
    marks = [
        f'<path d="{shapes[place % len(shapes)]}" transform="translate({error * scale:.1f},9)"/>'
        for place, error in enumerate(errors)
        if error is not None
    ]
    dot = f'<circle cx="{abs(value - ideal) * scale:.1f}" cy="9" r="4.5"/>'
    return f'<svg viewBox="-8 0 116 18" aria-hidden=true><path class=axis d="M0,9H100"/>{"".join(marks)}{dot}</svg>'


def card_table(card: Mapping[str, Any]) -> str:
    """The model card: a row per fact, in the order given."""
    rows = (f"<tr><th scope=row>{escape(_title(key))}</th><td>{escape(_words(card[key]))}</td></tr>" for key in card)
    return f"<table class=card><tbody>{''.join(rows)}</tbody></table>"


def _title(key: str) -> str:
    return {"ema": "EMA", "cfg_scale": "Guidance scale"}.get(key, _capital(key.replace("_", " ")))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ({}, [], ()):
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _interval(entry: Entry, key: str) -> str:
    """The 95 % interval below a number, where there is one."""
    ends = entry.get(key)
    return f" <small class=interval>{_number(ends[0])} to {_number(ends[1])}</small>" if ends else ""


def _number(value: float | None, note: str = "") -> str:
    if value is None:
        return f"<small>{escape(note or 'n/a')}</small>"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
