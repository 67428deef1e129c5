"""What every plugin must do: subclass `PluginContract` in a test module of your package."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import ClassVar

from sd_core.components import Component
from sd_core.discovery import PluginRecord, find_plugins
from sd_core.hookspecs import GROUP
from sd_core.registry import Registry

HEAVY = ("torch", "numpy", "scipy", "datasets", "mne", "diffusers", "transformers", "accelerate")
"""What no command imports just to list plugins or to read a config."""


class PluginContract:
    """Tests of an installed plugin package; a subclass named `Test...` says which one.

    Example:
        class TestMine(PluginContract):
            distribution = "acme-networks"
    """

    distribution: ClassVar[str]
    """What pip calls the package."""
    offers_nothing: ClassVar[bool] = False
    """True for a package that is installed before it has anything to offer."""

    def record(self) -> PluginRecord:
        """The plugin as core finds it."""
        records = [record for record in find_plugins() if record.distribution == self.distribution]
        assert records, f"{self.distribution} has no entry point that core finds; is it installed?"
        assert len(records) == 1, f"{self.distribution} has {len(records)} entry points; one is enough"
        return records[0]

    def components(self) -> list[tuple[str, Component]]:
        """(kind, component) of everything it offers."""
        return [(kind, offer) for kind, offers in self.record().components.items() for offer in offers]

    def test_it_is_found_and_works(self) -> None:
        """The entry point loads, and every hook it implements exists and answers with components."""
        record = self.record()
        assert record.broken is None, f"{record.title} {record.broken}"

    def test_it_offers_something(self) -> None:
        """A plugin without offers is most often one whose hooks lack `@hookimpl`."""
        offers = self.components()
        assert bool(offers) != self.offers_nothing, f"offers: {[component.name for _, component in offers]}"

    def test_components_are_well_described(self) -> None:
        """One line each; only architectures say which conditions they take."""
        for kind, component in self.components():
            assert component.summary.strip(), f"{component.name} has no summary"
            assert "\n" not in component.summary, f"the summary of {component.name} is longer than a line"
            allowed = {"vector", "tokens"} if kind == "architectures" else set()
            assert component.supports <= allowed, f"{component.name} supports {set(component.supports)}"

    def test_factories_are_where_it_says(self) -> None:
        """Every factory imports and can be called; those whose extras are missing here are left out."""
        for _, component in self.components():
            if all(find_spec(module) for module in component.requires):
                assert callable(resolve_name(component.factory)), f"{component.factory} cannot be called"

    def test_every_option_is_documented(self) -> None:
        """Options are a subclass of `Options`; the docstring under each field is its entry in the reference."""
        registry = Registry((self.record(),))
        for kind, component in self.components():
            for name, field in registry.options(kind, component.name).model_fields.items():
                assert field.description, f"{component.options}: no docstring under {name}"

    def test_listing_it_stays_cheap(self) -> None:
        """Plugin and options import nothing heavy: they are read before any work begins."""
        modules = {component.options.partition(":")[0] for _, component in self.components()}
        program = (
            "import importlib, importlib.metadata, sys\n"
            f"points = importlib.metadata.distribution({self.distribution!r}).entry_points\n"
            f"for point in points.select(group={GROUP!r}): point.load()\n"
            f"for name in {sorted(modules)!r}: importlib.import_module(name)\n"
            f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stdout.split(), f"listing {self.distribution} imports {done.stdout.strip()}"
