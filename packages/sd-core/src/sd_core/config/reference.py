"""The generated pages: `python -m sd_core.config.reference FOLDER [--check]`.

They describe core and our own plugins, whatever else is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sd_core import hookspecs
from sd_core.components import Component
from sd_core.config.schema import config_schema
from sd_core.config.sections import Lora, Model, RunConfig
from sd_core.config.slots import PLACES
from sd_core.config.typewords import default_words, type_words
from sd_core.config.write import may_be_switched_off
from sd_core.discovery import KINDS, PluginRecord
from sd_core.errors import SdError
from sd_core.offers import NAMES
from sd_core.registry import NOUNS, Registry, discover

HOW = "Written by `make docs` from the code; `make check` compares. Change the docstrings, not this page.\n"

CONFIG_HEAD = f"""# Every key of a config

{HOW}
A run is a TOML file. Later layers win: shared settings (`[settings] config`, or `default.toml` beside the run file or
one folder up), the run file, `--set section.key=value`. Unknown keys are errors and types are strict: `"12"` is not 12.
TOML has no null: a key that has a default and may go without is switched off with `false`.
What may stand in the tables of components (`[data.extras]`, `[model.extras]`, `[conditioning]`, ...) is in
[components.md](components.md). Editors complete and check run files with [config.schema.json](config.schema.json).
"""

COMPONENTS_HEAD = f"""# Components and their options

{HOW}
What our own packages offer; `sd-plugins` lists what is installed on your machine, strangers' plugins too.
A name that two plugins offer is written with its plugin in front: `name = "sd-dit:dit"`.
"""


def pages(registry: Registry) -> dict[str, str]:
    """File name -> content.

    Raises:
        SdError: one of our packages is missing or broken, so that the pages would have holes.
    """
    ours = _first_party(registry)
    schema = json.dumps(config_schema(ours), indent=1, ensure_ascii=False, sort_keys=True)
    return {"config.md": _config_page(), "components.md": _components_page(ours), "config.schema.json": schema + "\n"}


def _first_party(registry: Registry) -> Registry:
    records = {record.distribution: record for record in registry.plugins}
    if missing := [name for name in NAMES if name not in records or records[name].broken]:
        raise SdError(f"the reference needs all of our packages; missing or broken: {', '.join(missing)}")
    return Registry(tuple(records[name] for name in NAMES))


def _config_page() -> str:
    parts = [CONFIG_HEAD]
    for name, info in RunConfig.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            parts.append(_section(kind, f"[{name}]"))
        else:
            parts.append(f"## [{name}]\n\nOptions of the component that `[model] conditioning` names.\n")
    return "\n".join(parts)


def _section(kind: type[BaseModel], header: str) -> str:
    """One table of the config; its docstring is "`[table]`: what it is."."""
    about = _prose(kind).partition(": ")[2]
    text = f"## {header}\n\n{about[:1].upper()}{about[1:]}\n\n"
    if kind is not Model:
        return text + _keys(kind)
    dropout = _table({"cfg_dropout": Model.model_fields["cfg_dropout"]})
    extras = f"## [model.extras]\n\nOptions of the architecture, and core's own:\n\n{dropout}"
    return "\n".join([text + _keys(kind, ("cfg_dropout",)), extras, _section(Lora, "[model.lora]")])


def _keys(kind: type[BaseModel], leave_out: Iterable[str] = ()) -> str:
    return _table({key: info for key, info in kind.model_fields.items() if key not in leave_out})


def _table(fields: Mapping[str, FieldInfo]) -> str:
    rows = ["| key | type | default | what it does |", "|---|---|---|---|"]
    for key, info in fields.items():
        words = type_words(info) + (", or `false`" if may_be_switched_off(info) else "")
        default = default_words(info)
        default = default if default in ("required", "none") else f"`{_cell(default)}`"
        about = " ".join((info.description or "").split())
        rows.append(f"| `{key}` | {_cell(words)} | {default} | {_cell(about)} |")
    return "\n".join(rows) + "\n" if fields else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _components_page(registry: Registry) -> str:
    parts = [COMPONENTS_HEAD]
    for kind in KINDS:
        about = " ".join((getattr(hookspecs, f"sd_{kind}").__doc__ or "").split())
        parts.append(f"## {kind}\n\n{about}\n")
        found = [_component(registry, kind, *offer) for offer in _offers(registry, kind)]
        parts += found or ["None yet.\n"]
    return "\n".join(parts)


def _offers(registry: Registry, kind: str) -> Iterator[tuple[PluginRecord, Component]]:
    for record in registry.plugins:
        for component in record.components.get(kind, ()):
            yield record, component


def _component(registry: Registry, kind: str, record: PluginRecord, component: Component) -> str:
    options = registry.options(kind, f"{record.distribution}:{component.name}")
    facts = [f"{NOUNS[kind]} of {record.distribution}"]
    if component.supports:
        facts.append(f"takes {' and '.join(sorted(component.supports))}")
    if component.requires:
        needs = ", ".join(component.requires)
        facts.append(f"needs {needs}" + (f": `{record.distribution}[{component.extra}]`" if component.extra else ""))
    text = f"### {component.name}\n\n{component.summary} ({'; '.join(facts)}).\n"
    beside = next((place.shared for place in PLACES if place.kind == kind), ())
    table = _keys(options, beside)
    return f"{text}\n{table}" if table else text


def _prose(kind: type[BaseModel]) -> str:
    return " ".join((kind.__doc__ or "").split())


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with --check say which are stale; the exit code is 1 when one is."""
    parser = argparse.ArgumentParser(prog="python -m sd_core.config.reference", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    stale = []
    try:
        found = pages(discover())
    except SdError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        page = given.folder / name
        if given.check and (not page.is_file() or page.read_text(encoding="utf-8") != text):
            stale.append(str(page))
        elif not given.check:
            page.write_text(text, encoding="utf-8")
    if stale:
        print(f"stale: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
