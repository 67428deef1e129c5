"""The contracts that every plugin and every architecture keeps."""

from __future__ import annotations

from sd_core.plugin import Task
from sd_core.testing.architecture import ArchitectureContract
from sd_core.testing.plugin import PluginContract
from sd_dit.model import DiT
from sd_dit.options import DiTOptions


class TestPlugin(PluginContract):
    distribution = "sd-dit"


class TestDiT(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> DiT:
        return DiT(DiTOptions(layers=2, heads=2, head_dim=16), task)


class TestDiTWithAllItsParts(ArchitectureContract):
    """One row of patches, dropout, and a bottleneck on every shape."""

    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> DiT:
        options = DiTOptions(layers=2, heads=2, head_dim=16, patch_size=("all", 5), bottleneck=8, dropout_rate=0.2)
        return DiT(options, task)
