"""What sd-sd35 offers."""

from __future__ import annotations

from sd_core.plugin import Component, hookimpl


@hookimpl
def sd_architectures() -> list[Component]:
    """The transformer of Stable Diffusion 3.5."""
    return [
        Component(
            name="sd35",
            summary="Transformer of Stable Diffusion 3.5, pretrained or from scratch (Esser 2024)",
            factory="sd_sd35.model:SD35",
            options="sd_sd35.options:SD35Options",
            supports=frozenset({"vector", "tokens"}),
        )
    ]


@hookimpl
def sd_conditioners() -> list[Component]:
    """Its text encoders."""
    return [
        Component(
            name="sd3-text",
            summary="Captions through CLIP-L, CLIP-G and optionally T5, as the SD3 pipeline encodes them",
            factory="sd_sd35.text:SD3Text",
            options="sd_sd35.options:SD3TextOptions",
        )
    ]
