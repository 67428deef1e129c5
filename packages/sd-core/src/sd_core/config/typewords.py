"""The type and the default of a key in the words of TOML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sd_core.config.write import literal, plain

_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of", "min_length": "at least"}


def type_words(info: FieldInfo) -> str:
    """The type of an option with its bounds: "whole number (>= 1)"."""
    return _words(info.annotation) + _bounds(info.metadata)


def default_words(info: FieldInfo) -> str:
    """What holds without the key, as TOML writes it: "required", "none", or the value."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        value = plain(value)
    return "none" if value is None else literal(value)


def _words(kind: Any) -> str:
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(members[0]) + _bounds(_flat(members[1:]))
    if origin in (Union, UnionType):
        return " or ".join(_words(member) for member in members if member is not type(None))
    if origin is Literal:
        return ", ".join(f"`{literal(member)}`" for member in members)
    if origin in (tuple, list):
        if origin is list or members[-1:] == (Ellipsis,):
            return f"list of {_words(members[0])}"
        return f"[{', '.join(map(_words, members))}]"
    return _PLAIN.get(kind, "table")


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    """Constraints, those inside `Field` too."""
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _bounds(metadata: Iterable[Any]) -> str:
    words = [
        f"{sign} {_number(getattr(item, name))}"
        for item in metadata
        for name, sign in _BOUNDS.items()
        if getattr(item, name, None) is not None
    ]
    return f" ({', '.join(words)})" if words else ""


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:g}"
