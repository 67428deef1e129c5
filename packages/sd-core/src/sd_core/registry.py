"""Finding components by the name that a config writes. Nothing is imported before it is used."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sd_core.components import Component
from sd_core.discovery import KINDS, PluginRecord, find_plugins
from sd_core.errors import SdError
from sd_core.offers import known_names, package_offering

if TYPE_CHECKING:
    from sd_core.options import Options

__all__ = ["KINDS", "PluginRecord", "Registry", "discover"]

NOUNS: Mapping[str, str] = {
    "architectures": "model",
    "representations": "representation",
    "conditioners": "conditioning",
    "codecs": "codec",
    "objectives": "objective",
    "samplers": "sampler",
    "metrics": "metric",
    "trackers": "tracker",
    "corpora": "corpus",
    "exporters": "exporter",
    "reports": "report",
}
"""What a message calls one component of a kind: the word of the config, not of the hook."""


def discover() -> Registry:
    """The plugins installed in this environment. Reads entry points afresh and imports no torch."""
    return Registry(find_plugins())


@dataclass(frozen=True)
class Registry:
    """Installed plugins, and their components by name.

    A name is bare ("dit") or qualified by its plugin ("sd-dit:dit"); only a bare name that two
    plugins offer needs the qualified form.
    """

    plugins: tuple[PluginRecord, ...]

    def find(self, kind: str, name: str) -> Component:
        """The component of this kind (a hook's name without "sd_") and name.

        Raises:
            SdError: it is not installed, misspelt, broken, or offered by two plugins.
        """
        return self._locate(kind, name)[1]

    def names(self, kind: str) -> tuple[str, ...]:
        """Every name that `find` accepts, sorted: bare where it is unique, qualified where not."""
        bare = [component.name for _, component in self._offers(kind)]
        return tuple(
            sorted(
                component.name if bare.count(component.name) == 1 else f"{self._label(record)}:{component.name}"
                for record, component in self._offers(kind)
            )
        )

    def options(self, kind: str, name: str) -> type[Options]:
        """The class of the component's options; imports that module only.

        Raises:
            SdError: as `find`, or the class cannot be imported or is not an `Options`.
        """
        from sd_core.options import Options  # here, because listing plugins needs no pydantic

        record, component = self._locate(kind, name)
        found = _resolve(component.options, f"the options of {NOUNS[kind]} '{name}' ({record.title})")
        if not (isinstance(found, type) and issubclass(found, Options)):
            raise SdError(
                f"{record.title} is broken: {component.options}, named as the options of {NOUNS[kind]} '{name}', "
                "is not a subclass of sd_core.plugin.Options"
            )
        return found

    def create(self, kind: str, name: str, *args: Any) -> Any:
        """Import the component's factory and call it with `args`; what it must return is in `sd_core.protocols`.

        Raises:
            SdError: as `find`, or an optional dependency is missing, or the import fails. What the
                factory itself raises passes through.
        """
        record, component = self._locate(kind, name)
        if missing := [module for module in component.requires if not _importable(module)]:
            remedy = f"'{record.distribution}[{component.extra}]'" if component.extra else " ".join(missing)
            raise SdError(f"{NOUNS[kind]} '{name}' needs {', '.join(missing)}: pip install {remedy}")
        factory = _resolve(component.factory, f"{NOUNS[kind]} '{name}' ({record.title})")
        return factory(*args)

    def versions(self) -> dict[str, str]:
        """Package -> version of every plugin in working order, for `plugins.json`."""
        return {record.distribution: record.version for record in self.plugins if record.broken is None}

    def version_of(self, kind: str, name: str) -> str:
        """Version of the package that offers a component: what a cache of its output depends on.

        Raises:
            SdError: as `find`.
        """
        return self._locate(kind, name)[0].version

    def _offers(self, kind: str) -> list[tuple[PluginRecord, Component]]:
        return [(record, component) for record in self.plugins for component in record.components.get(kind, ())]

    def _label(self, record: PluginRecord) -> str:
        """What qualifies a plugin's names: the plugin's own name, or its package's where two share one."""
        alone = sum(other.name == record.name for other in self.plugins) == 1
        return record.name if alone else record.distribution

    def _locate(self, kind: str, name: str) -> tuple[PluginRecord, Component]:
        qualifier, colon, bare = name.rpartition(":")
        offers = [
            (record, component)
            for record, component in self._offers(kind)
            if component.name == bare and (not colon or _same(qualifier, record.name, record.distribution))
        ]
        if len(offers) == 1:
            return offers[0]
        if offers:
            choices = " or ".join(f"'{self._label(record)}:{bare}'" for record, _ in offers)
            raise SdError(f"{NOUNS[kind]} '{name}' is offered by {len(offers)} plugins: write {choices}")
        raise SdError(self._absence(kind, name, qualifier or package_offering(kind, bare)))

    def _absence(self, kind: str, name: str, package: str | None) -> str:
        """Why there is no such component, and what to do. `package` should have brought it."""
        lacking, bare = f"{NOUNS[kind]} '{name}'", name.rpartition(":")[2]
        installed = f"Installed: {', '.join(self.names(kind)) or 'none'}"
        if package is None:
            guess = nearest(bare, (*self.names(kind), *known_names(kind)))
            hint = f"; did you mean '{guess}'?" if guess else "."
            return f"{lacking} is not known{hint} {installed}{self._broken_ones()}"
        records = [record for record in self.plugins if _same(package, record.name, record.distribution)]
        if broken := next((record for record in records if record.broken), None):
            return f"{lacking} cannot be used: {broken.title} {broken.broken}. {installed}"
        if not records:
            return f"{lacking} is not installed. Install it: pip install {package}. {installed}"
        guess = nearest(bare, [component.name for record in records for component in record.components.get(kind, ())])
        hint = f"; did you mean '{package}:{guess}'?" if guess else f": pip install --upgrade {package} may bring it."
        return f"{lacking} is not offered by {records[0].title}{hint} {installed}"

    def _broken_ones(self) -> str:
        broken = [f"{record.title} {record.broken}" for record in self.plugins if record.broken]
        return f". Broken plugins: {'; '.join(broken)}" if broken else ""


def nearest(name: str, names: list[str] | tuple[str, ...]) -> str | None:
    """The name that was probably meant, None when nothing is close."""
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return close[0] if close else None


def _same(wanted: str, *names: str) -> bool:
    """Package names compare as pip compares them."""
    return any(re.sub(r"[-_.]+", "-", name).lower() == re.sub(r"[-_.]+", "-", wanted).lower() for name in names)


def _importable(module: str) -> bool:
    if module in sys.modules:
        return True
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False


def _resolve(target: str, what: str) -> Any:
    """The object at "module:attribute".

    Raises:
        SdError: the module cannot be imported or has no such attribute; `what` begins the sentence.
    """
    module, _, attribute = target.partition(":")
    try:
        found: Any = import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, OSError, AttributeError) as error:  # OSError: a shared library that does not load
        raise SdError(f"{what} cannot be imported from {target}: {type(error).__name__}: {error}") from error
    return found
