"""What sd-localmamba offers."""

from __future__ import annotations

from sd_core.plugin import Component, hookimpl


@hookimpl
def sd_architectures() -> list[Component]:
    """The state space network."""
    return [
        Component(
            name="localmamba",
            summary="U-shaped state space network with global and local scans (LocalMamba, Huang 2024)",
            factory="sd_localmamba.model:LocalMamba",
            options="sd_localmamba.options:LocalMambaOptions",
            supports=frozenset({"vector", "tokens"}),
        )
    ]
