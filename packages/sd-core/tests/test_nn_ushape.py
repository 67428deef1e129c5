"""The U of token grids: shapes, padding, skips, and what its blocks are told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sd_core.errors import SdError
from sd_core.nn.ushape import Level, Merge, TokenMerge, TokenSplit, UShape, halving_merges

Calls = list[tuple[Level, tuple[int, ...], object]]


class Spy(nn.Module):
    """Adds its number and notes what came."""

    def __init__(self, level: Level, calls: Calls) -> None:
        super().__init__()
        self.level, self.calls = level, calls

    def forward(self, x: Tensor, condition: Tensor, context: object = None) -> Tensor:
        self.calls.append((self.level, tuple(x.shape), context))
        return x + condition.sum()


def spied(rows: int, columns: int, merges: list[Merge] | None = None) -> tuple[UShape, Calls]:
    calls: Calls = []
    torch.manual_seed(0)
    step = (1.0, 8.0)
    ushape = UShape(rows, columns, (4, 6, 8), (1, 2, 3), lambda level: Spy(level, calls), step=step, merges=merges)
    return ushape, calls


def test_axes_halve_as_long_as_they_are_even() -> None:
    assert halving_merges(20, 256, 3) == ((2, 2), (2, 2), (1, 2))
    assert halving_merges(7, 1, 2) == ((1, 1), (1, 1))


def test_blocks_are_passed_down_and_up_and_know_where_they_stand() -> None:
    ushape, calls = spied(20, 6)
    context = object()
    out = ushape(torch.randn(2, 20, 6, 4), torch.ones(2, 3), context)
    assert out.shape == (2, 20, 6, 4)
    assert [call[0].index for call in calls] == [0, 1, 1, 2, 2, 2, 1, 1, 0]
    assert [call[0].turn for call in calls] == [0, 0, 1, 0, 1, 2, 2, 3, 1]
    assert [call[0].is_middle for call in calls] == [False] * 3 + [True] * 3 + [False] * 3
    assert all(shape == (2, level.rows, level.columns, level.width) for level, shape, _ in calls)
    assert all(given is context for _, _, given in calls)
    assert [(level.rows, level.columns, level.step) for level in ushape.levels] == [
        (20, 6, (1.0, 8.0)),
        (10, 3, (2.0, 16.0)),
        (5, 3, (4.0, 16.0)),
    ]
    assert [module.level for module in ushape.block_modules() if isinstance(module, Spy)] == [call[0] for call in calls]


@pytest.mark.parametrize("merges", [[(2, 3), (3, 2)], [(4, 7), (1, 1)], [(5, 7), (1, 1)]])
def test_grids_that_nothing_divides_keep_every_token(merges: list[Merge]) -> None:
    """What is padded is cropped at the same side: a token's own gradient reaches it, and it reaches the output."""
    ushape, calls = spied(5, 7, merges)
    x = torch.randn(1, 5, 7, 4, requires_grad=True)
    out = ushape(x, torch.zeros(1, 3))
    out.square().sum().backward()
    assert out.shape == x.shape
    assert x.grad is not None
    assert bool((x.grad != 0).all())
    assert all(level.rows >= 1 and level.columns >= 1 for level, _, _ in calls)


@pytest.mark.parametrize(
    ("merges", "level"),
    [([(6, 1), (1, 1)], "6 x 1 .* 5 x 7 .* level 0"), ([(2, 2), (1, 5)], "1 x 5 .* 3 x 4 .* level 1")],
)
def test_a_merge_larger_than_its_level_is_refused(merges: list[Merge], level: str) -> None:
    with pytest.raises(SdError, match=rf"^\[model.extras\] merges: {level}"):
        spied(5, 7, merges)


def test_a_merge_and_its_split_speak_of_the_same_tokens() -> None:
    """With maps that copy, splitting what was merged gives the tokens back."""
    merge, split = TokenMerge(3, 18, (2, 3)), TokenSplit(18, 3, (2, 3))
    for layer in (merge.project, split.project):
        nn.init.eye_(layer.weight)
    nn.init.ones_(split.share)
    x = torch.randn(2, 5, 7, 3)
    assert torch.equal(split(merge(x), torch.zeros_like(x)), x)


def test_a_merged_token_holds_its_own_cell() -> None:
    merge = TokenMerge(1, 6, (2, 3))
    nn.init.eye_(merge.project.weight)
    x = torch.arange(24.0).reshape(1, 4, 6, 1)
    assert merge(x)[0, 1, 1].tolist() == [15, 16, 17, 21, 22, 23]


def test_the_skip_is_mixed_by_a_share_that_is_learned() -> None:
    split = TokenSplit(8, 2, (2, 2))
    x, skip = torch.randn(1, 3, 3, 8), torch.randn(1, 6, 6, 2)
    whole = split(x, torch.zeros_like(skip)) / 0.5
    torch.testing.assert_close(split(x, skip), (whole + skip) / 2)
    with torch.no_grad():
        split.share.fill_(0.25)
    torch.testing.assert_close(split(x, skip), 0.25 * whole + 0.75 * skip)


def test_one_level_is_a_row_of_blocks() -> None:
    ushape = UShape(3, 4, (5,), (2,), lambda level: Spy(level, []))
    x = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(ushape(x, torch.ones(1, 1)), x + 2)
    assert ushape.levels[0].is_middle


@pytest.mark.parametrize(
    ("widths", "depths", "merges"), [((4, 6), (1,), None), ((4, 6), (1, 1), []), ((4, 6), (1, 1), [(0, 2)])]
)
def test_lists_that_do_not_belong_together_are_a_bug(
    widths: tuple[int, ...], depths: tuple[int, ...], merges: list[Merge] | None
) -> None:
    with pytest.raises(ValueError, match="do not make a U"):
        UShape(8, 8, widths, depths, lambda level: Spy(level, []), merges=merges)


def test_the_stream_keeps_its_dtype_under_autocast() -> None:
    ushape, _ = spied(8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert ushape(torch.randn(1, 8, 8, 4), torch.zeros(1, 3)).dtype == torch.float32
