"""What a plugin offers: a name and where to find the code, without importing it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-z][a-z0-9_+-]*")


@dataclass(frozen=True, kw_only=True)
class Component:
    """One offer of a plugin; the hook that returns it says what kind it is.

    Building one imports nothing: `factory` and `options` are "module:attribute" strings that
    core resolves only when a config names the component.

    Raises:
        ValueError: the name is not lower-case letters, digits, "-", "_" and "+", or a target is
            not of the form "module:attribute".
    """

    name: str
    summary: str
    """One line for `sd-plugins`."""
    factory: str
    options: str = "sd_core.options:NoOptions"
    """A pydantic model, a subclass of `sd_core.plugin.Options`."""
    supports: frozenset[str] = frozenset()
    """Architectures only: the condition inputs taken, a subset of {"vector", "tokens"}."""
    requires: tuple[str, ...] = ()
    """Importable names beyond the package's own dependencies, such as ("mne",)."""
    extra: str = ""
    """The pip extra of the package that brings `requires`, such as "eeg"."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"component name {self.name!r} must be lower-case letters, digits, '-', '_' and '+', "
                "starting with a letter"
            )
        for target in (self.factory, self.options):
            module, _, attribute = target.partition(":")
            if not (module and attribute):
                raise ValueError(f"component {self.name!r}: {target!r} is not 'module:attribute'")
