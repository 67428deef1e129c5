"""The contracts that every plugin and every architecture keeps."""

from __future__ import annotations

import pytest

from sd_core.plugin import GridShape, Task
from sd_core.testing.architecture import ArchitectureContract
from sd_core.testing.plugin import PluginContract
from sd_localmamba.model import LocalMamba
from sd_localmamba.options import LocalMambaOptions


class TestPlugin(PluginContract):
    distribution = "sd-localmamba"


class TestLocalMamba(ArchitectureContract):
    supports = frozenset({"vector", "tokens"})

    def network(self, task: Task) -> LocalMamba:
        options = LocalMambaOptions(
            depths=(1, 1),
            widths=(8, 16),
            d_state=4,
            directions=("h", "v_flip", "w3"),
            mapping_width=32,
            mapping_depth=1,
        )
        return LocalMamba(options, task)


class TestLocalMambaOtherwise(ArchitectureContract):
    """One row of patches, a merge that pads, wide scans, no feed-forward, dropout."""

    supports = frozenset({"vector", "tokens"})
    shapes = (GridShape(2, 7, 13), GridShape(1, 6, 96))

    def network(self, task: Task) -> LocalMamba:
        options = LocalMambaOptions(
            patch_size=("all", 2),
            depths=(1, 1),
            widths=(8, 12),
            merges=((1, 3),),
            d_state=3,
            ssm_ratio=1.5,
            mlp_ratio=0,
            dt_rank=3,
            mapping_width=24,
            mapping_depth=0,
            dropout_rate=0.2,
            axial_embedding=False,
            input_level=False,
        )
        return LocalMamba(options, task)

    def test_blocks_compile_whole(self) -> None:
        pytest.skip("slow, and the blocks of the other network have all parts of these")
