"""Orders of scanning against examples written by hand, and their way back."""

from __future__ import annotations

import pytest
import torch

from sd_localmamba.directions import ScanOrders, scan_order
from sd_localmamba.options import Direction

NAMES = ("h", "h_flip", "v", "v_flip", "w7", "w7_flip")
GRIDS = [(1, 1), (1, 9), (9, 1), (3, 5), (7, 7), (10, 16), (20, 33)]


def order(name: str, rows: int, columns: int) -> list[int]:
    return scan_order(Direction.named(name), rows, columns).tolist()


def test_rows_and_columns() -> None:
    assert order("h", 2, 3) == [0, 1, 2, 3, 4, 5]
    assert order("v", 2, 3) == [0, 3, 1, 4, 2, 5]
    assert order("h_flip", 2, 3) == [5, 4, 3, 2, 1, 0]
    assert order("v_flip", 2, 3) == [5, 2, 4, 1, 3, 0]


def test_windows_row_by_row_inside_and_among_each_other() -> None:
    assert order("w2", 4, 4) == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


def test_windows_at_the_border_are_smaller() -> None:
    """3 x 5 in windows of 2 x 2: a column of width one at the right, a row of height one at the bottom."""
    assert order("w2", 3, 5) == [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]
    assert order("w2_flip", 3, 5) == order("w2", 3, 5)[::-1]


def test_a_window_larger_than_an_axis_spans_it() -> None:
    assert order("w7", 4, 5) == order("h", 4, 5)
    assert order("w3", 2, 6) == [0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]
    assert order("w1", 3, 4) == order("h", 3, 4)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("name", [*NAMES, "w2", "w3_flip", "w16"])
def test_every_order_holds_every_token_once(name: str, grid: tuple[int, int]) -> None:
    """No token stands for padding, so none can change the others."""
    assert sorted(order(name, *grid)) == list(range(grid[0] * grid[1]))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_arranging_follows_each_order_and_collecting_leads_back(grid: tuple[int, int]) -> None:
    orders, length = ScanOrders(NAMES, *grid), grid[0] * grid[1]
    x, own = torch.randn(2, length, 3), torch.randn(2, length, len(NAMES), 3)
    for scan, name in enumerate(NAMES):
        assert torch.equal(orders.arrange(x)[:, scan], x[:, order(name, *grid)])
        assert torch.equal(orders.arrange_own(own)[:, scan], own[:, order(name, *grid), scan])
    torch.testing.assert_close(orders.collect(orders.arrange(x)), len(NAMES) * x)
    torch.testing.assert_close(orders.collect(orders.arrange_own(own)), own.sum(2))


def test_gradients_are_those_of_the_gathers() -> None:
    orders = ScanOrders(("h_flip", "v", "w2"), 3, 5)
    x = torch.randn(2, 15, 2, dtype=torch.float64, requires_grad=True)
    own = torch.randn(2, 15, 3, 2, dtype=torch.float64, requires_grad=True)
    scanned = torch.randn(2, 3, 15, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(orders.arrange, x)
    assert torch.autograd.gradcheck(orders.arrange_own, own)
    assert torch.autograd.gradcheck(orders.collect, scanned)


def test_indices_are_no_state_and_come_back_after_meta() -> None:
    with torch.device("meta"):
        hollow = ScanOrders(NAMES, 3, 5)
    assert not hollow.state_dict()
    hollow.to_empty(device="cpu").reset_parameters()
    for name, indices in ScanOrders(NAMES, 3, 5).named_buffers():
        assert torch.equal(hollow.get_buffer(name), indices)
