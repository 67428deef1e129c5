"""What sd-hourglass offers."""

from __future__ import annotations

from sd_core.plugin import Component, hookimpl


@hookimpl
def sd_architectures() -> list[Component]:
    """The hourglass transformer."""
    return [
        Component(
            name="hourglass",
            summary="Hourglass transformer with neighborhood attention (HDiT, Crowson 2024)",
            factory="sd_hourglass.model:Hourglass",
            options="sd_hourglass.options:HourglassOptions",
            supports=frozenset({"vector", "tokens"}),
        )
    ]
