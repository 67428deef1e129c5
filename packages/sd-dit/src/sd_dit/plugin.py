"""What sd-dit offers."""

from __future__ import annotations

from sd_core.plugin import Component, hookimpl


@hookimpl
def sd_architectures() -> list[Component]:
    """The diffusion transformer."""
    return [
        Component(
            name="dit",
            summary="Diffusion transformer on rectangular patches (Peebles & Xie 2023)",
            factory="sd_dit.model:DiT",
            options="sd_dit.options:DiTOptions",
            supports=frozenset({"vector", "tokens"}),
        )
    ]
