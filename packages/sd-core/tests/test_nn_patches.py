"""Grids cut into patches and put together again."""

from __future__ import annotations

import warnings

import pytest
import torch

from sd_core.errors import SdError
from sd_core.nn.patches import MANY_TOKENS, Patches, Side, default_patch, warn_of_many_tokens
from sd_core.task import GridShape


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 20, 2048), (2, 7, 13), (1, 1, 5)])
@pytest.mark.parametrize("sides", [(1, 1), (1, 4), ("all", 5), ("all", "all")])
def test_joining_undoes_splitting(shape: tuple[int, int, int], sides: tuple[Side, Side]) -> None:
    patches = Patches.of(GridShape(*shape), sides)
    x = torch.randn(2, *shape)
    tokens = patches.split(x)
    assert tokens.shape == (2, patches.count, patches.values)
    assert torch.equal(patches.join(tokens), x)


@pytest.mark.parametrize(
    ("grid", "sides"),
    [
        ((3, 64, 64), (4, 4)),
        ((1, 20, 2048), ("all", 16)),
        ((1, 20, 512), ("all", 16)),
        ((1, 20, 511), (4, 4)),
        ((1, 33, 512), (4, 4)),
        ((1, 2, 100), (2, 4)),
    ],
)
def test_the_default_patch_tells_series_from_pictures(grid: tuple[int, int, int], sides: tuple[Side, Side]) -> None:
    assert default_patch(GridShape(*grid), picture=4, series=("all", 16)) == sides


def test_a_patch_holds_neighbours_of_every_channel() -> None:
    x = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    tokens = Patches.of(GridShape(2, 4, 6), (2, 3)).split(x)
    assert torch.equal(tokens[0, 1], x[0, :, 0:2, 3:6].flatten()), "second patch: first row, second column"
    assert torch.equal(tokens[0, 2], x[0, :, 2:4, 0:3].flatten()), "third patch: second row, first column"


def test_padding_is_zeros_at_the_end_and_no_token_of_its_own() -> None:
    patches = Patches.of(GridShape(1, 3, 5), (2, 2))
    assert (patches.rows, patches.columns) == (2, 3)
    tokens = patches.split(torch.ones(1, 1, 3, 5)).unflatten(1, (2, 3))
    assert tokens[0, 0, 0].tolist() == [1, 1, 1, 1]
    assert tokens[0, 0, 2].tolist() == [1, 0, 1, 0]
    assert tokens[0, 1, 2].tolist() == [1, 0, 0, 0]


def test_what_a_network_puts_into_the_padding_is_cropped() -> None:
    patches = Patches.of(GridShape(1, 3, 5), (2, 2))
    assert torch.equal(patches.join(torch.ones(1, 6, 4)), torch.ones(1, 1, 3, 5))


@pytest.mark.parametrize("sides", [(5, 1), (0, 1), (1, -2)])
def test_a_patch_that_does_not_fit_names_the_key(sides: tuple[Side, Side]) -> None:
    with pytest.raises(SdError, match=r"patch_size.*does not fit"):
        Patches.of(GridShape(1, 4, 4), sides)


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="1x4x4"):
        Patches.of(GridShape(1, 4, 4), (2, 2)).split(torch.zeros(1, 1, 4, 6))


def test_many_tokens_are_announced_with_their_count() -> None:
    with pytest.warns(UserWarning, match=f"{MANY_TOKENS + 1} tokens"):
        warn_of_many_tokens(MANY_TOKENS + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_many_tokens(MANY_TOKENS)
