"""Every option does what it says, and what cannot work is refused before any data is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sd_core.plugin import Condition, GridShape, SdError, Task
from sd_core.testing.architecture import wake
from sd_localmamba.model import LocalMamba
from sd_localmamba.options import Direction, LocalMambaOptions

SERIES = GridShape(1, 20, 2048)
SMALL = {"depths": (1, 1), "widths": (16, 32), "d_state": 4, "directions": ("h", "w3_flip"), "mapping_width": 32}


def build(shape: GridShape = GridShape(2, 8, 12), condition: Condition = Condition(), **changes: Any) -> LocalMamba:  # noqa: B008  (frozen)
    torch.manual_seed(0)
    return LocalMamba(LocalMambaOptions(**{**SMALL, **changes}), Task(shape, condition))


def parameters(network: LocalMamba) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        (GridShape(3, 64, 64), (2, 2)),
        (SERIES, (1, 8)),
        (GridShape(16, 4, 256), (2, 2)),
        (GridShape(1, 1, 100), (1, 2)),
    ],
)
def test_the_patch_follows_the_grid(shape: GridShape, patch: tuple[int, int]) -> None:
    with torch.device("meta"):
        patches = LocalMamba(LocalMambaOptions(), Task(shape)).patches
    assert (patches.height, patches.width) == patch


def test_lists_are_read_as_toml_gives_them() -> None:
    options = LocalMambaOptions.model_validate(
        {"patch_size": ["all", 16], "depths": [1, 2], "widths": [8, 16], "merges": [[1, 2]], "directions": ["w5"]}
    )
    assert options.patch_size == ("all", 16)
    assert options.merges == ((1, 2),)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"directions": ["h", "diagonal"]}, r"directions[\s\S]*'diagonal' is not one of the directions"),
        ({"directions": ["vflip"]}, "did you mean 'v_flip'"),
        ({"directions": ["w7flip"]}, "did you mean 'w7_flip'"),
        ({"directions": ["w"]}, "did you mean 'w"),
        ({"directions": ["w0"]}, "windows of directions must be at least 1 x 1"),
        ({"directions": ["w-3"]}, "is not one of the directions"),
        ({"directions": ["h", "v", "h"]}, "directions names 'h' more than once"),
        ({"directions": []}, "directions"),
        ({"depths": [1, 1, 1]}, "depths has 3 levels and widths has 2"),
        ({"merges": [[2, 2], [2, 2]]}, "merges has 2 pairs for 2 levels: give 1"),
        ({"merges": [[2, 0]]}, "merges"),
        ({"patch_size": [4]}, "patch_size"),
        ({"patch_size": ["al", 4]}, "patch_size"),
        ({"patch_size": [0, 4]}, "patch_size"),
        ({"widths": [16, 0]}, "widths"),
        ({"depths": [0, 1]}, "depths"),
        ({"d_state": 0}, "d_state"),
        ({"ssm_ratio": 0.0}, "ssm_ratio"),
        ({"mlp_ratio": -1.0}, "mlp_ratio"),
        ({"dt_rank": "full"}, "dt_rank"),
        ({"dropout_rate": 1.0}, "dropout_rate"),
        ({"scan_backend": "cuda"}, "scan_backend"),
        ({"cfg_dropout": 0.1}, "cfg_dropout"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        LocalMambaOptions(**{**SMALL, **wrong})


def test_a_patch_larger_than_the_grid_is_refused() -> None:
    with pytest.raises(SdError, match=r"patch_size: 9 does not fit the height 8"):
        build(patch_size=[9, 4])


def test_directions_are_read_by_their_names() -> None:
    assert Direction.named("v_flip") == Direction(by_columns=True, flip=True)
    assert Direction.named("w12") == Direction(window=12)


@pytest.mark.parametrize(("channels", "hint"), [(1, "vector_field"), (4, "sample"), (3, "vector_field")])
def test_fat_patches_ask_for_the_sample(channels: int, hint: str) -> None:
    """Four values per channel; a quarter of the width of 64 is 16."""
    assert build(GridShape(channels, 16, 16), widths=(64, 64)).prediction_hint == hint


@pytest.mark.parametrize(
    ("shape", "tokens", "grids"),
    [
        (GridShape(3, 64, 64), 1024, [(32, 32), (16, 16), (8, 8), (4, 4)]),
        (SERIES, 5120, [(20, 256), (10, 128), (5, 64), (5, 32)]),
    ],
    ids=str,
)
def test_the_shipped_size_fits_pictures_and_series(shape: GridShape, tokens: int, grids: list[tuple[int, int]]) -> None:
    with torch.device("meta"):
        network = LocalMamba(LocalMambaOptions(), Task(shape))
    assert network.token_count == tokens
    assert network.prediction_hint == "vector_field"
    assert [(level.rows, level.columns) for level in network.levels.levels] == grids
    assert len(network.block_modules()) == 2 * (2 + 2 + 6) + 2


@pytest.mark.parametrize(
    "larger",
    [
        {"widths": (16, 48)},
        {"depths": (2, 1)},
        {"directions": ("h", "w3_flip", "v")},
        {"d_state": 8},
        {"ssm_ratio": 2.0},
        {"mlp_ratio": 16.0},
        {"dt_rank": 8},
        {"mapping_width": 64},
        {"mapping_depth": 3},
    ],
)
def test_larger_options_make_a_larger_network(larger: dict[str, Any]) -> None:
    assert parameters(build(**larger)) > parameters(build())


def test_the_feed_forward_can_be_left_out() -> None:
    def fed(**options: Any) -> list[str]:
        return [name for name, _ in build(**options).named_parameters() if "feedforward" in name or "fed" in name]

    assert fed()
    assert not fed(mlp_ratio=0)


def test_the_rank_follows_the_width_unless_given() -> None:
    assert [LocalMambaOptions().step_rank(width) for width in (64, 100, 8)] == [4, 7, 1]
    assert LocalMambaOptions(dt_rank=5).step_rank(64) == 5


def test_merges_set_the_grids_of_the_levels() -> None:
    assert build(merges=((1, 3),)).levels.levels[1].columns == 2
    assert build(merges=((1, 3),)).levels.levels[1].rows == 4


def test_positions_are_learned_unless_switched_off() -> None:
    learned = build().param_roles()
    assert learned["rows"] == learned["columns"] == "vector"
    assert build().state_dict()["rows"].shape == (4, 16)
    assert build(axial_embedding=False).rows is None
    assert build(patch_size=("all", 4)).rows is None


def test_the_input_level_can_be_switched_off() -> None:
    assert build(input_level=False).condition.level is None
    assert build().condition.level is not None


def test_dropout_acts_in_training_only() -> None:
    network = build(dropout_rate=0.5)
    wake(network)
    x, t = torch.randn(2, 2, 8, 12), torch.full((2,), 0.3)
    torch.testing.assert_close(network.eval()(x, t), network(x, t), rtol=0, atol=0)
    assert not torch.equal(network.train()(x, t), network(x, t))
