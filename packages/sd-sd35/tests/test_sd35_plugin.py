"""The contracts that every plugin and every architecture keeps."""

from __future__ import annotations

from typing import ClassVar

from sd_core.plugin import GridShape, Task
from sd_core.testing.architecture import ArchitectureContract
from sd_core.testing.plugin import PluginContract
from sd_sd35.model import SD35
from sd_sd35.options import SD35Options


class TestPlugin(PluginContract):
    distribution = "sd-sd35"


class TestSD35(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})
    shapes: ClassVar[tuple[GridShape, ...]] = (GridShape(2, 7, 13), GridShape(16, 8, 8), GridShape(16, 4, 256))

    def network(self, task: Task) -> SD35:
        options = SD35Options(layers=2, heads=2, head_dim=16, dual_layers=1, pooled_dim=24, joint_dim=40)
        return SD35(options, task)
