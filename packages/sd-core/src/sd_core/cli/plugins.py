"""`sd-plugins`: what is installed, what it offers, what is broken and why. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from sd_core.cli.errors import one_sentence
from sd_core.components import Component
from sd_core.discovery import KINDS, PluginRecord
from sd_core.errors import SdError
from sd_core.registry import NOUNS, Registry, discover, nearest


@click.command()
@click.argument("name", required=False)
@click.option("--kind", type=click.Choice(KINDS), help="Only components of this kind.")
@one_sentence
def main(name: str | None, kind: str | None) -> None:
    """List the installed plugins and what they offer.

    With the NAME of a plugin, only that one; with the NAME of a component, its options.
    """
    registry = discover()
    console = Console(highlight=False)
    if name is None:
        _list(console, registry.plugins, kind)
    elif plugin := next((plugin for plugin in registry.plugins if name in (plugin.name, plugin.distribution)), None):
        _list(console, (plugin,), kind)
    else:
        for found in _kinds_offering(registry, name, kind):
            _describe(console, registry, found, name)


def _list(console: Console, plugins: tuple[PluginRecord, ...], kind: str | None) -> None:
    for plugin in plugins:
        offers = {offered: found for offered, found in plugin.components.items() if kind in (None, offered)}
        if kind is not None and not offers and not plugin.broken:
            continue
        console.print(f"[bold]{escape(plugin.title)}[/]{_remark(plugin)}")
        if offers:
            console.print(_offers(offers))


def _remark(plugin: PluginRecord) -> str:
    if plugin.broken:
        return f" [red]{escape(plugin.broken)}[/]"
    return "" if plugin.components else " offers nothing yet"


def _offers(components: Mapping[str, tuple[Component, ...]]) -> Table:
    """A row per component; the widths are those of the longest words, so that plugins line up."""
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True, min_width=max(map(len, NOUNS.values())))
    table.add_column(no_wrap=True, min_width=22)
    table.add_column()
    for kind, found in components.items():
        for component in found:
            table.add_row(NOUNS[kind], component.name, escape(component.summary))
    return table


def _kinds_offering(registry: Registry, name: str, kind: str | None) -> list[str]:
    """The kinds that have a component of this name.

    Raises:
        SdError: there is none.
    """
    if kind is not None:
        registry.find(kind, name)
        return [kind]
    bare = name.rpartition(":")[2]
    kinds = [known for known in KINDS if any(bare == each.rpartition(":")[2] for each in registry.names(known))]
    if not kinds:
        every = [each for known in KINDS for each in registry.names(known)]
        guess = nearest(name, [*every, *(plugin.distribution for plugin in registry.plugins)])
        hint = f"; did you mean '{guess}'?" if guess else ". `sd-plugins` lists what there is."
        raise SdError(f"no plugin and no component is called '{name}'{hint}")
    return kinds


def _describe(console: Console, registry: Registry, kind: str, name: str) -> None:
    from sd_core.config.typewords import default_words, type_words  # here, because the list needs no pydantic

    component = registry.find(kind, name)
    console.print(f"[bold]{NOUNS[kind]} {escape(component.name)}[/]  {escape(component.summary)}")
    console.print(f"  code: {escape(component.factory)}{_needs(component)}")
    options = registry.options(kind, name).model_fields
    for key, info in options.items():
        kind_of = type_words(info).replace("`", "")
        console.print(f"  [bold]{key}[/]  {escape(kind_of)}; default {escape(default_words(info))}")
        about = " ".join((info.description or "").split())
        console.print(Padding(escape(about), (0, 0, 0, 6)))
    if not options:
        console.print("  no options")


def _needs(component: Component) -> str:
    supports = f"; takes {' and '.join(sorted(component.supports))}" if component.supports else ""
    return supports + (f"; needs {', '.join(component.requires)}" if component.requires else "")


if __name__ == "__main__":
    main()
