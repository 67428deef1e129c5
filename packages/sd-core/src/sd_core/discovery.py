"""Which plugins are installed. One that fails is recorded with its cause and harms nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

import pluggy

from sd_core import hookspecs
from sd_core.components import Component

KINDS: tuple[str, ...] = tuple(name.removeprefix("sd_") for name in vars(hookspecs) if name.startswith("sd_"))
"""Kinds of components in the order of the hooks: "architectures", "representations", ..."""

_FAMILY, _, _OURS = hookspecs.GROUP.rpartition(".v")
_GROUP = re.compile(rf"{re.escape(_FAMILY)}\.v(\d+)")


class _Broken(Exception):  # noqa: N818  (a finding that never leaves this module, not an error of its own)
    """Why a plugin cannot be used: the end of a sentence that begins with its name and version."""


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """One installed plugin and what it offers."""

    name: str
    """Of the entry point."""
    distribution: str
    """What pip calls the package."""
    version: str
    broken: str | None = None
    """Why it cannot be used, as the end of a sentence: "cannot be imported: ..."; None when all is well."""
    components: Mapping[str, tuple[Component, ...]] = field(default_factory=dict)
    """Kind -> components; kinds without any are absent."""

    @property
    def title(self) -> str:
        """Package and version, such as "sd-dit 0.1.0"."""
        return f"{self.distribution} {self.version}".strip()


def find_plugins() -> tuple[PluginRecord, ...]:
    """All plugins of this environment, in order of their names; entry points are read afresh."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    points = sorted(_our_points(), key=lambda point: (point.name, _distribution(point)))
    return tuple(_record(manager, point) for point in points)


def _our_points() -> list[EntryPoint]:
    """Plugins for our API, and those for a newer one that have nothing for ours."""
    everything = entry_points()
    ours = list(everything.select(group=hookspecs.GROUP))
    newer = [
        point
        for group in everything.groups
        if (match := _GROUP.fullmatch(group)) and int(match[1]) > int(_OURS)
        for point in everything.select(group=group)
    ]
    served = {_distribution(point) for point in ours}
    return ours + [point for point in newer if _distribution(point) not in served]


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.name


def _record(manager: pluggy.PluginManager, point: EntryPoint) -> PluginRecord:
    version = point.dist.version if point.dist else ""
    broken, components = None, {}
    try:
        components = _offers(manager, point)
    except _Broken as cause:
        broken = str(cause)
    return PluginRecord(
        name=point.name, distribution=_distribution(point), version=version, broken=broken, components=components
    )


def _offers(manager: pluggy.PluginManager, point: EntryPoint) -> dict[str, tuple[Component, ...]]:
    """Import one plugin and ask each of its hooks, on its own.

    Raises:
        _Broken: with the cause.
    """
    api = point.group.rpartition(".")[2]
    if point.group != hookspecs.GROUP:
        raise _Broken(f"needs a newer sd-core (plugin API {api})")
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:  # (a stranger's import may raise anything)
        raise _Broken(f"cannot be imported: {_words(error)}") from error
    label = f"{_distribution(point)}:{point.name}"
    try:
        manager.register(plugin, label)
        manager.check_pending()
        offers = {kind: _ask(manager, plugin, kind) for kind in KINDS}
    except (pluggy.PluginValidationError, ValueError) as error:
        manager.unregister(name=label)
        raise _Broken(f"does not fit the hooks: {_words(error)}") from error
    except _Broken:
        manager.unregister(name=label)
        raise
    return {kind: components for kind, components in offers.items() if components}


def _ask(manager: pluggy.PluginManager, plugin: object, kind: str) -> tuple[Component, ...]:
    """What one plugin answers to one hook. Wrappers are asked like the rest, so none sees another plugin's offers."""
    components: list[Component] = []
    for implementation in manager.hook.__dict__[f"sd_{kind}"].get_hookimpls():
        if implementation.plugin is not plugin:
            continue
        try:
            answer = tuple(implementation.function())
        except Exception as error:  # (a stranger's hook may raise anything)
            raise _Broken(f"is broken: its hook sd_{kind} raised {_words(error)}") from error
        for component in answer:
            if not isinstance(component, Component):
                raise _Broken(f"is broken: its hook sd_{kind} returned {component!r}, which is not a Component")
        components += answer
    names = [component.name for component in components]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise _Broken(f"is broken: its hook sd_{kind} offers '{twice}' twice")
    return tuple(components)


def _words(error: BaseException) -> str:
    """Type and message of an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
