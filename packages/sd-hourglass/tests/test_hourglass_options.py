"""Every option does what it says, and what cannot work is refused before any data is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sd_core.plugin import Condition, GridShape, SdError, Task
from sd_core.testing.architecture import wake
from sd_hourglass.attention import GlobalAttention
from sd_hourglass.block import Block
from sd_hourglass.model import Hourglass
from sd_hourglass.neighborhood import NeighborhoodAttention
from sd_hourglass.options import HourglassOptions
from sd_hourglass.shifted import ShiftedWindowAttention

SQUARE = GridShape(3, 64, 64)
SERIES = GridShape(1, 20, 2048)
SMALL = GridShape(2, 8, 12)
NO_CONDITION = Condition()


def build(shape: GridShape = SMALL, condition: Condition = NO_CONDITION, **changes: Any) -> Hourglass:
    torch.manual_seed(0)
    options = {"depths": (1, 1), "widths": (16, 32), "head_dim": 16, "mapping_width": 16, **changes}
    return Hourglass(HourglassOptions.model_validate(options), Task(shape, condition))


def cores(network: Hourglass) -> list[torch.nn.Module]:
    return [block.attention.core for block in network.block_modules() if isinstance(block, Block)]


def parameters(network: Hourglass) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        (SQUARE, (2, 2)),
        (GridShape(60, 64, 64), (2, 2)),
        (SERIES, (1, 8)),
        (GridShape(1, 64, 2048), (1, 8)),
        (GridShape(16, 4, 256), (2, 2)),
        (GridShape(1, 1, 100), (1, 2)),
    ],
)
def test_the_patch_follows_the_grid(shape: GridShape, patch: tuple[int, int]) -> None:
    with torch.device("meta"):
        patches = Hourglass(HourglassOptions(), Task(shape)).patches
    assert (patches.height, patches.width) == patch


def test_lists_are_read_as_toml_gives_them() -> None:
    options = HourglassOptions.model_validate(
        {
            "patch_size": ["all", 16],
            "depths": [1, 2],
            "widths": [64, 128],
            "attention": ["global", "shifted-window"],
            "merges": [[1, 2]],
            "mlp_widths": [100, 200],
        }
    )
    assert options.patch_size == ("all", 16)
    assert options.merges == ((1, 2),)
    assert [options.mlp_width(level) for level in (0, 1)] == [100, 200]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"patch_size": [4]}, "patch_size"),
        ({"depths": [2, 0, 3]}, "depths"),
        ({"depths": [2, 2]}, "depths has 2 levels and widths has 3: give one of each per level"),
        ({"attention": ["global"]}, "depths has 3 levels and attention has 1"),
        ({"attention": ["global", "local", "global"]}, "attention"),
        ({"mlp_widths": [64, 64]}, "depths has 3 levels and mlp_widths has 2"),
        ({"merges": [[2, 2]]}, "merges has 1 pairs for 3 levels: give 2"),
        ({"merges": [[2, 0], [2, 2]]}, "merges"),
        ({"widths": [64, 100, 256]}, "100 is not a multiple of head_dim = 64, as widths"),
        ({"head_dim": 12}, "head_dim"),
        ({"kernel": 4}, "4 is even, .* kernel .* take 3 or 5"),
        ({"kernel": 0}, "kernel"),
        ({"window": -1}, "window"),
        ({"window": 4}, "window does nothing where no level has attention 'shifted-window'"),
        ({"kernel": 7, "attention": ["global"] * 3}, "kernel does nothing where no level has attention 'neighborhood'"),
        ({"noise_features": 7}, "noise_features"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"cfg_dropout": 0.1}, "cfg_dropout"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        HourglassOptions.model_validate(wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"patch_size": [9, 4]}, "patch_size: 9 does not fit the height 8"),
        ({"kernel": 7}, r'kernel: 7 is larger than the 4 x 6 tokens of level 0 .* at most 5, or attention "global"'),
        ({"kernel": 5, "attention": ["global", "neighborhood"]}, "5 is larger than the 2 x 3 tokens of level 1"),
        ({"window": 7, "attention": ["shifted-window", "global"]}, "window: 7 is larger than .* at most 6"),
    ],
)
def test_what_does_not_fit_the_grid_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SdError, match=sentence):
        build(**wrong)


def test_the_default_kernel_fits_every_grid_and_a_kernel_may_span_one_axis() -> None:
    assert build(GridShape(1, 2, 2)).token_count == 1
    assert build(kernel=5).token_count == 24


def test_tokens_need_a_level_that_sees_them() -> None:
    local = ["neighborhood", "neighborhood"]
    assert build(attention=local)
    with pytest.raises(SdError, match=r'"global" levels only'):
        build(condition=Condition(tokens=4), attention=local)


def test_levels_see_what_they_are_told() -> None:
    assert [type(core) for core in cores(build())] == [NeighborhoodAttention, GlobalAttention, NeighborhoodAttention]
    windows = cores(build(depths=(2, 1), attention=("shifted-window", "global")))
    assert [core.shift for core in windows if isinstance(core, ShiftedWindowAttention)] == [False, True, False, True]


def test_many_tokens_are_announced_where_all_attend_to_all(recwarn: pytest.WarningsRecorder) -> None:
    build(SERIES)
    assert not recwarn.list, "neighborhoods cost no square"
    with pytest.warns(UserWarning, match="5120 tokens"):
        build(SERIES, attention=("global", "global"))


@pytest.mark.parametrize(("channels", "hint"), [(1, "vector_field"), (3, "vector_field"), (4, "sample")])
def test_fat_patches_ask_for_the_sample(channels: int, hint: str) -> None:
    """4 values per channel; a quarter of the width of 64 is 16."""
    network = build(GridShape(channels, 16, 16), widths=(64, 64), head_dim=64)
    assert network.prediction_hint == hint


def test_the_shipped_sizes() -> None:
    networks = [Hourglass(HourglassOptions(), Task(shape)) for shape in (SQUARE, SERIES)]
    assert [network.token_count for network in networks] == [1024, 5120]
    grids = [[(level.rows, level.columns) for level in network.ushape.levels] for network in networks]
    assert grids == [[(32, 32), (16, 16), (8, 8)], [(20, 256), (10, 128), (5, 64)]]


@pytest.mark.parametrize(
    "larger",
    [
        {"depths": (2, 1)},
        {"widths": (32, 32)},
        {"mlp_widths": (64, 96)},
        {"mapping_width": 32},
        {"mapping_depth": 3},
        {"mapping_mlp_width": 64},
        {"noise_features": 512},
        {"merges": ((4, 2),)},
    ],
)
def test_larger_options_make_a_larger_network(larger: dict[str, Any]) -> None:
    assert parameters(build(**larger)) > parameters(build())


def test_parts_can_be_left_out() -> None:
    assert build().state_dict()["rows"].shape == (4, 16)
    assert build().param_roles()["rows"] == "vector"
    assert build(row_embedding=False).rows is None
    assert build(patch_size=["all", 2]).rows is None
    assert "condition.level.project.weight" in build().state_dict()
    assert build(input_level=False).condition.level is None


def test_dropout_acts_in_training_only() -> None:
    network = build(dropout_rate=0.5)
    wake(network)
    x, t = torch.randn(2, 2, 8, 12), torch.full((2,), 0.3)
    torch.testing.assert_close(network.eval()(x, t), network(x, t), rtol=0, atol=0)
    assert not torch.equal(network.train()(x, t), network(x, t))
    torch.manual_seed(5)
    first = network(x, t)
    torch.manual_seed(5)
    assert torch.equal(network(x, t), first), "the same seed drops the same"
