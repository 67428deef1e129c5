"""The contracts that every plugin and every architecture keeps."""

from __future__ import annotations

import pytest

from sd_core.plugin import Task
from sd_core.testing.architecture import ArchitectureContract
from sd_core.testing.plugin import PluginContract
from sd_hourglass.model import Hourglass
from sd_hourglass.options import HourglassOptions


class TestPlugin(PluginContract):
    distribution = "sd-hourglass"


BF16_TOLERANCE = 0.1
"""Sharp attention multiplies small differences: rounding the input alone moves these awake networks by 4 %."""


class TestHourglass(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})
    bf16_tolerance = BF16_TOLERANCE

    def network(self, task: Task) -> Hourglass:
        options = HourglassOptions(depths=(1, 1, 1), widths=(16, 32, 32), head_dim=16, mapping_width=16)
        return Hourglass(options, task)

    def test_blocks_compile_whole(self) -> None:
        pytest.skip("slow, and the blocks of the other network have all parts of these")


class TestHourglassWithAllItsParts(ArchitectureContract):
    """Each kind of attention, merges that pad, dropout."""

    supports = frozenset({"vector", "tokens"})
    bf16_tolerance = BF16_TOLERANCE

    def network(self, task: Task) -> Hourglass:
        options = HourglassOptions(
            patch_size=(2, 3),
            depths=(2, 1, 1),
            widths=(16, 32, 16),
            head_dim=16,
            attention=("shifted-window", "neighborhood", "global"),
            kernel=3,
            window=3,
            merges=((1, 3), (3, 1)),
            mlp_widths=(24, 16, 32),
            mapping_width=32,
            mapping_depth=1,
            dropout_rate=0.2,
            input_level=False,
            row_embedding=False,
        )
        return Hourglass(options, task)
