"""Sentences from labels: one small language for building, training, evaluating and sampling. No torch.

    EEG of a(n)[ {age:.0f}-year-old] {gender:F=woman|M=man|=person}[ ({health})], {state}

`{field}` is a label; `{age:.0f}` formats a number as Python does; `{gender:F=woman|M=man}` names words for values,
`*` among them stands for the value itself and an empty left side for a missing one. What stands in square brackets
is left out where a label in it is missing, `a(n)` becomes "a" or "an", and a doubled brace or bracket is itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sd_core.errors import SdError

Value = str | float | None
"""A label: words, a number, or None for missing."""
UNKNOWN = "unknown"
"""What stands for a missing label outside of brackets."""
_PIECE = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{(?P<field>\w+)(?::(?P<spec>[^{}]*))?\}|[\[\]{}]|[^\[\]{}]+")
_NUMERIC = re.compile(r"[-+ ,0-9.]*[eEfFgG%]")
_ARTICLE = re.compile(r"\b(?P<a>[Aa])\(n\)(?P<gap>\s+)(?P<next>\d+|\w*)")
_SPACES = re.compile(r" {2,}")


@dataclass(frozen=True)
class _Slot:
    """One `{field:spec}`."""

    field: str
    spec: str = ""

    @property
    def numeric(self) -> bool:
        return _NUMERIC.fullmatch(self.spec) is not None

    def words(self, value: Value) -> str | None:
        """The value in words; None where it is missing."""
        if self.spec and not self.numeric:
            return self._chosen(None if value is None else _plainly(value))
        if value is None:
            return None
        return format(float(value), self.spec) if self.numeric else _plainly(value)

    def _chosen(self, value: str | None) -> str | None:
        for choice in self.spec.split("|"):
            given, equals, said = choice.partition("=")
            if not equals and value is not None:  # "*", as the parser has seen to
                return value
            if equals and given == (value or ""):
                return said or None
        return None


_Part = str | _Slot
_Segment = tuple[bool, tuple[_Part, ...]]
"""(whether it may be left out, its parts)."""


class Template:
    """A sentence with places for labels.

    Args:
        text: As the module describes.

    Raises:
        SdError: a brace or bracket stands alone, brackets are nested, or a choice is not `value=words`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._segments: tuple[_Segment, ...] = tuple(_segments(text))
        slots = [part for _, parts in self._segments for part in parts if isinstance(part, _Slot)]
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(slot.field for slot in slots))
        """The labels it names, each once."""
        self.numbers: frozenset[str] = frozenset(slot.field for slot in slots if slot.numeric)
        """Those that it formats as numbers."""
        if not self.fields:
            raise SdError(f"the template {text!r} names no label, so every window would have the same caption")

    def render(self, values: Mapping[str, Value]) -> str:
        """The sentence for these labels; "" where every label that it names is missing."""
        if all(values.get(field) is None for field in self.fields):
            return ""
        text = "".join(_rendered(parts, values, optional=optional) for optional, parts in self._segments)
        return _SPACES.sub(" ", _ARTICLE.sub(_with_article, text)).strip()


def _rendered(parts: tuple[_Part, ...], values: Mapping[str, Value], *, optional: bool) -> str:
    said = []
    for part in parts:
        words = part if isinstance(part, str) else part.words(values.get(part.field))
        if words is None and optional:
            return ""
        said.append(UNKNOWN if words is None else words)
    return "".join(said)


def _plainly(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _with_article(match: re.Match[str]) -> str:
    word = match["next"].lower()
    vowel = word[:1] in ("a", "e", "i", "o", "8") or word in ("11", "18") or word.startswith("un")
    return f"{match['a']}{'n' if vowel else ''}{match['gap']}{match['next']}"


def _segments(text: str) -> Iterator[_Segment]:
    """The template cut at its brackets."""
    parts: list[_Part] = []
    inside = False
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece in ("[", "]"):
            if inside == (piece == "["):
                raise SdError(f"the template {text!r} has a {piece!r} without its partner; {piece * 2!r} is the sign")
            yield inside, tuple(parts)
            parts, inside = [], not inside
        elif piece in ("{", "}"):
            raise SdError(f"the template {text!r} has a {piece!r} that encloses no label; {piece * 2!r} is the sign")
        elif match["field"] is not None:
            parts.append(_slot(match["field"], match["spec"] or "", text))
        else:
            parts.append(piece[0] if len(piece) == 2 and piece[0] == piece[1] and piece[0] in "{}[]" else piece)
    if inside:
        raise SdError(f"the template {text!r} has a '[' without its partner; '[[' is the sign")
    yield False, tuple(parts)


def _slot(field: str, spec: str, text: str) -> _Slot:
    slot = _Slot(field, spec)
    if slot.numeric:
        try:
            format(1.0, spec)
        except ValueError as error:
            raise SdError(f"the template {text!r} formats {field} as {spec!r}, which Python does not know") from error
    elif spec and not all("=" in choice or choice == "*" for choice in spec.split("|")):
        raise SdError(
            f"the template {text!r} has {{{field}:{spec}}}; after the colon stands a number's format such as .0f, or "
            "words for values such as F=woman|M=man"
        )
    return slot
