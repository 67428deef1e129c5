"""The config as a JSON schema, for editors that complete and check TOML."""

from __future__ import annotations

from typing import Any

from sd_core.config.sections import RunConfig
from sd_core.config.slots import PLACES, Place
from sd_core.config.statements import Path
from sd_core.options import Options
from sd_core.registry import Registry

Schema = dict[str, Any]


def config_schema(registry: Registry) -> Schema:
    """JSON schema (draft 2020-12) of a run file, with the options of every component of the registry.

    Which options a table takes depends on the component it names: `if` the name, `then` these.
    """
    schema: Schema = RunConfig.model_json_schema()
    definitions: Schema = schema["$defs"]
    _where_files_write_cfg_dropout(definitions["Model"])
    schema["allOf"] = [rule for place in PLACES for rule in _rules(registry, place, definitions)]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Signal Diffusion run"}
    return _false_for_none(schema)  # type: ignore[no-any-return]


def _where_files_write_cfg_dropout(model: Schema) -> None:
    dropout = model["properties"].pop("cfg_dropout")
    model["properties"]["extras"]["properties"] = {"cfg_dropout": dropout}


def _rules(registry: Registry, place: Place, definitions: Schema) -> list[Schema]:
    rules = []
    for name in registry.names(place.kind):
        options = registry.options(place.kind, name)
        title = f"{place.kind}.{name}"
        definitions[title] = _definition(options, place, definitions)
        inside = {"$ref": f"#/$defs/{title}"}
        rules.append({"if": _named(place, name), "then": _at(place.extras, inside)})
    return rules


def _definition(options: type[Options], place: Place, definitions: Schema) -> Schema:
    """The free keys of a component: its options without those that stand beside its name."""
    found = options.model_json_schema()
    definitions.update(found.pop("$defs", {}))
    found["properties"] = {key: value for key, value in found.get("properties", {}).items() if key not in place.shared}
    if place.kind == "architectures":
        found["properties"]["cfg_dropout"] = True
    return found


def _named(place: Place, name: str) -> Schema:
    """The condition that a file names this component; one without the key has the default."""
    table, key = place.name
    says = _at(place.name, {"const": name})
    says["required"] = [table]
    says["properties"][table]["required"] = [key]
    if name != place.default:
        return says
    return {"anyOf": [says, {"not": {"required": [table]}}, _at((table,), {"not": {"required": [key]}})]}


def _at(path: Path, inside: Schema) -> Schema:
    for key in reversed(path):
        inside = {"properties": {key: inside}}
    return inside


def _false_for_none(schema: Any) -> Any:
    """TOML has no null; `false` switches off what has a default."""
    if schema == {"type": "null"}:
        return {"const": False}
    if isinstance(schema, dict):
        return {key: _false_for_none(inner) for key, inner in schema.items() if (key, inner) != ("default", None)}
    return [_false_for_none(item) for item in schema] if isinstance(schema, list) else schema
