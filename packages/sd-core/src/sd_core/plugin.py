"""The front door for plugin authors: everything a plugin module needs, and no torch.

Networks find their building blocks in `sd_core.nn`, tests in `sd_core.testing`.
"""

from sd_core.components import Component
from sd_core.errors import SdError
from sd_core.hookspecs import GROUP, hookimpl
from sd_core.options import NoOptions, ObjectiveOptions, Options, SamplerOptions
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
)

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
    "WindowSource",
    "Windows",
    "hookimpl",
]
