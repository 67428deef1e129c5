"""The front door for plugin authors: everything a plugin module needs, and no torch.

Networks find their building blocks in `sd_core.nn`, tests in `sd_core.testing`.
"""

from typing import TYPE_CHECKING, Any

from sd_core.components import Component
from sd_core.disk import disk_errors, whole_file
from sd_core.errors import SdError
from sd_core.hookspecs import GROUP, hookimpl
from sd_core.task import (
    Condition,
    Conditioning,
    GridShape,
    Labels,
    LabelSpace,
    Score,
    SignalInfo,
    Task,
    Windows,
    WindowSource,
    data_name,
)
from sd_core.templates import Template

if TYPE_CHECKING:
    from sd_core.options import NoOptions, ObjectiveOptions, Options, SamplerOptions, TextOptions

__all__ = [
    "GROUP",
    "Component",
    "Condition",
    "Conditioning",
    "GridShape",
    "LabelSpace",
    "Labels",
    "NoOptions",
    "ObjectiveOptions",
    "Options",
    "SamplerOptions",
    "Score",
    "SdError",
    "SignalInfo",
    "Task",
    "Template",
    "TextOptions",
    "WindowSource",
    "Windows",
    "data_name",
    "disk_errors",
    "hookimpl",
    "whole_file",
]

_OPTIONS = frozenset({"NoOptions", "ObjectiveOptions", "Options", "SamplerOptions", "TextOptions"})


def __getattr__(name: str) -> Any:
    """The classes of options only when asked for: pydantic would be half the time of `sd-plugins`."""
    if name not in _OPTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sd_core import options

    return getattr(options, name)
