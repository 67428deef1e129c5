"""The table of contents of the system: one hook per kind of component.

A plugin is a module named by an entry point of the group `signal_diffusion.v1`; it implements any
of these with `sd_core.plugin.hookimpl`. Every hook returns an iterable of `Component`; core imports
a component's factory only when a config names it.
"""

from collections.abc import Iterable

import pluggy

from sd_core.components import Component

PROJECT = "signal_diffusion"
GROUP = "signal_diffusion.v1"
"""Entry-point group; the number is the version of the plugin API."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def sd_architectures() -> Iterable[Component]:  # type: ignore[empty-body]
    """Networks: `[model] name`. Factory `(options, task)` -> Denoiser."""


@hookspec
def sd_representations() -> Iterable[Component]:  # type: ignore[empty-body]
    """Views of a window: `[data] representation`. Factory `(options, signal)` -> Representation."""


@hookspec
def sd_conditioners() -> Iterable[Component]:  # type: ignore[empty-body]
    """Labels to conditioning: `[model] conditioning`. Factory `(options, labels)` -> Conditioner."""


@hookspec
def sd_codecs() -> Iterable[Component]:  # type: ignore[empty-body]
    """Latent spaces: `[codec] name`. Factory `(options, shape)` -> Codec."""


@hookspec
def sd_objectives() -> Iterable[Component]:  # type: ignore[empty-body]
    """What is learned: `[objective] name`. Factory `(options)` -> Objective."""


@hookspec
def sd_samplers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Integrators: `[inference] sampler`. Factory `(options)` -> Sampler."""


@hookspec
def sd_metrics() -> Iterable[Component]:  # type: ignore[empty-body]
    """Judges: `[evaluation] metrics`. Factory `(options)` -> Metric."""


@hookspec
def sd_trackers() -> Iterable[Component]:  # type: ignore[empty-body]
    """Loggers: `[logging]`. Factory `(options, run_dir)` -> Tracker."""


@hookspec
def sd_corpora() -> Iterable[Component]:  # type: ignore[empty-body]
    """Sources of windows: `[dataset] name`, `sd-data build NAME`. Factory `(options)` -> Corpus."""


@hookspec
def sd_exporters() -> Iterable[Component]:  # type: ignore[empty-body]
    """File formats: `sd-sample --to NAME`. Factory `(options)` -> Exporter."""


@hookspec
def sd_reports() -> Iterable[Component]:  # type: ignore[empty-body]
    """Pages about an evaluation: `sd-evaluate`. Factory `(options)` -> Report."""
