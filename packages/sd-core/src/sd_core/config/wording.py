"""What pydantic found, in the words of the config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from sd_core.config.problems import quoted, table
from sd_core.config.statements import Path
from sd_core.registry import nearest

Vocabulary = Mapping[Path, tuple[str, ...]]
"""Table -> its keys, for every table of the run; the top level is ()."""

_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def expectation(error: ErrorDetails) -> str | None:
    """What a value should have been, "a whole number"; None when the error is of another sort."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {context[name]:g}"
    return str(context["expected"]) if kind in ("literal_error", "enum") else None


def wrong_value(errors: list[ErrorDetails]) -> str:
    """The sentence about one value; a value that may be of several types has an error for each."""
    error = errors[0]
    wanted = list(dict.fromkeys(filter(None, map(expectation, errors))))
    if not wanted:
        return _other(error)
    value = error["input"]
    choices = re.findall(r"'([^']*)'", " ".join(wanted))
    guess = nearest(value, choices) if isinstance(value, str) else None
    hint = f"; did you mean '{guess}'?" if guess else ""
    return f"must be {' or '.join(wanted)}, not {literal(value)}{hint}"


def _other(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "missing":
        return "is required"
    if error["type"] in ("value_error", "assertion_error"):
        return str(context.get("error", error["msg"]))
    if error["type"] in ("too_long", "too_short"):
        length = context.get("max_length", context.get("min_length"))
        bound = "most" if error["type"] == "too_long" else "least"
        return f"must have at {bound} {length} values, not {context['actual_length']}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {literal(error['input'])}"


def literal(value: Any) -> str:
    """A value as the config writes it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, str) else f"'{value}'"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _every_key(vocabulary: Vocabulary) -> list[str]:
    return sorted({known for keys in vocabulary.values() for known in keys})


def unknown_key(path: Path, value: Any, vocabulary: Vocabulary) -> str:
    """The sentence about a key that nothing reads: where it belongs, or what was probably meant."""
    here, key = path[:-1], path[-1]
    if not here and isinstance(value, dict) and (guess := nearest(key, vocabulary[()])):
        return f"is not a table of the config; did you mean {table((guess,))}?"
    what = f"is not a key of {table(here)}" if here else "is not a table of the config"
    if homes := [home for home, keys in vocabulary.items() if key in keys and home and home != here]:
        return f"{what}; it belongs in {' or '.join(map(table, homes))}"
    own, guess = (nearest(key, names) for names in (vocabulary.get(here, ()), _every_key(vocabulary)))
    if guess and guess not in vocabulary.get(here, ()):
        home = next(home for home, keys in vocabulary.items() if guess in keys)
        other = f"'{guess}' in {table(home)}" if home else f"[{guess}]"
        return f"{what}; did you mean '{own}', or {other}?" if own else f"{what}; did you mean {other}?"
    if own:
        return f"{what}; did you mean '{own}'?"
    known = ", ".join(map(quoted, vocabulary.get(here, ())))
    return f"{what}, which has {known or 'no keys'}" if here else f"{what}, which has {known}"
