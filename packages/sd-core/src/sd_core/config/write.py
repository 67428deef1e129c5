"""Options back to TOML: complete, and read back equal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sd_core.config.problems import quoted, table
from sd_core.config.statements import Path


def plain(options: BaseModel) -> dict[str, Any]:
    """Options as tables, lists and values that TOML knows.

    TOML has no null: None is left out where it is the default, and written `false` where it switches a default off.
    """
    values: dict[str, Any] = options.model_dump(mode="json")
    for key, info in type(options).model_fields.items():
        value = getattr(options, key)
        if isinstance(value, BaseModel):
            values[key] = plain(value)
        elif value is None:
            if info.get_default(call_default_factory=True, validated_data={}) is None:
                del values[key]
            else:
                values[key] = False
    return values


def switched_off(options: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """The other way: `false` becomes None for keys that may be None and are no switches."""
    read = dict(values)
    for key, info in options.model_fields.items():
        value = read.get(key)
        if value is False and _may_be(info, type(None)) and not _may_be(info, bool):
            read[key] = None
        elif isinstance(value, Mapping) and (inner := _section(info)):
            read[key] = switched_off(inner, value)
    return read


def may_be_switched_off(info: FieldInfo) -> bool:
    """Whether `false` means something else than the default here."""
    default = info.get_default(call_default_factory=True, validated_data={})
    return default is not None and _may_be(info, type(None)) and not _may_be(info, bool)


def _may_be(info: FieldInfo, kind: type) -> bool:
    return kind in _members(info.annotation)


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _section(info: FieldInfo) -> type[BaseModel] | None:
    members = _members(info.annotation)
    return next((kind for kind in members if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def to_toml(values: Mapping[str, Any]) -> str:
    """Tables as TOML text, top level first; a table without keys says nothing and is left out."""
    return "\n".join(_tables(values, ())).lstrip("\n")


def _tables(values: Mapping[str, Any], path: Path) -> list[str]:
    leaves = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"\n{table(path)}"] if path and leaves else []
    lines += [f"{quoted(key)} = {literal(value)}" for key, value in leaves.items()]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _tables(value, (*path, key))
    return lines if path else [*lines, ""]


def literal(value: Any) -> str:
    """One value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return literal(value.value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{quoted(key)} = {literal(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"TOML has no word for {value!r}")


def _text(value: str) -> str:
    """A basic string. JSON escapes the same characters, but for DEL, which only TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
