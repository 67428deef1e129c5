"""The form of neighborhood attention for CUDA, as far as a CPU can run it: the forward pass, not fused."""

from __future__ import annotations

import pytest
import torch

from sd_hourglass.flex import FlexNeighborhood
from sd_hourglass.neighborhood import NeighborhoodAttention

GRIDS = [(20, 33, 7), (7, 5, 3)]
LARGER = [(5, 64, 7), (32, 32, 7), (1, 9, 7), (130, 3, 5), (20, 256, 7), (64, 64, 7)]


@pytest.mark.parametrize(("rows", "columns", "kernel"), GRIDS)
def test_it_equals_the_tiles(rows: int, columns: int, kernel: int) -> None:
    parts = torch.randn(3, 2, rows, columns, 2, 16, dtype=torch.float64).unbind()
    flex, tiles = FlexNeighborhood(rows, columns, kernel), NeighborhoodAttention(rows, columns, kernel)
    torch.testing.assert_close(flex(*parts, 0.3), tiles(*parts, 0.3), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns", "kernel"), [*GRIDS, *LARGER])
def test_no_window_reaches_into_a_block_that_is_skipped(rows: int, columns: int, kernel: int) -> None:
    """The unfused form ignores the list of blocks, so it is checked here: window by window."""
    flex = FlexNeighborhood(rows, columns, kernel)
    block_of = flex.place // 128
    listed = {
        (query, int(key))
        for query, count in enumerate(flex.key_counts.flatten().tolist())
        for key in flex.key_blocks[0, 0, query, :count]
    }
    transposed = {
        (int(query), key)
        for key, count in enumerate(flex.query_counts.flatten().tolist())
        for query in flex.query_blocks[0, 0, key, :count]
    }
    assert transposed == listed
    needed = set()
    for at, token in enumerate(flex.order.tolist()):
        high, wide = min(kernel, rows), min(kernel, columns)
        top = max(0, min(token // columns - high // 2, rows - high))
        left = max(0, min(token % columns - wide // 2, columns - wide))
        for row in (top, top + high // 2, top + high - 1):
            needed |= {(at // 128, int(block_of[row * columns + column])) for column in range(left, left + wide)}
    assert needed <= listed


def test_a_block_of_queries_needs_few_blocks_of_keys() -> None:
    assert int(FlexNeighborhood(64, 64, 7).key_counts.max()) <= 9
    assert int(FlexNeighborhood(20, 256, 7).key_counts.max()) <= 9


def test_it_is_computed_without_memory() -> None:
    with torch.device("meta"):
        hollow = FlexNeighborhood(20, 33, 7)
    hollow.to_empty(device="cpu").reset_parameters()
    parts = torch.randn(3, 1, 20, 33, 1, 16).unbind()
    assert torch.equal(hollow(*parts, 1.0), FlexNeighborhood(20, 33, 7)(*parts, 1.0))


@torch.no_grad()
def test_it_compiles_into_one_graph() -> None:
    torch.compiler.reset()
    flex = FlexNeighborhood(20, 33, 7)
    parts = torch.randn(3, 1, 20, 33, 1, 16).unbind()
    compiled = torch.compile(flex, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*parts, 1.0), flex(*parts, 1.0))
