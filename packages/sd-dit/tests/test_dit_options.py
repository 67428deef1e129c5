"""Every option does what it says, and what cannot work is refused before any data is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from sd_core.plugin import Condition, GridShape, SdError, Task
from sd_core.testing.architecture import wake
from sd_dit.model import DiT
from sd_dit.options import DiTOptions

SQUARE = GridShape(3, 64, 64)
SERIES = GridShape(1, 20, 2048)


def build(shape: GridShape = GridShape(2, 8, 12), condition: Condition = Condition(), **changes: Any) -> DiT:  # noqa: B008  (frozen)
    torch.manual_seed(0)
    options = {"layers": 2, "heads": 2, "head_dim": 16, **changes}
    return DiT(DiTOptions(**options), Task(shape, condition))


def parameters(network: DiT) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        (SQUARE, (4, 4)),
        (GridShape(60, 64, 64), (4, 4)),
        (SERIES, (20, 16)),
        (GridShape(1, 64, 2048), (64, 16)),
        (GridShape(16, 4, 256), (4, 4)),
        (GridShape(1, 2, 100), (2, 4)),
    ],
)
def test_the_patch_follows_the_grid(shape: GridShape, patch: tuple[int, int]) -> None:
    with torch.device("meta"):
        patches = DiT(DiTOptions(), Task(shape)).patches
    assert (patches.height, patches.width) == patch


def test_patch_size_is_read_as_toml_gives_it() -> None:
    assert DiTOptions.model_validate({"patch_size": ["all", 16]}).patch_size == ("all", 16)
    assert build(patch_size=["all", 3]).token_count == 4
    assert build(patch_size=[2, 2]).token_count == 24


@pytest.mark.parametrize(
    "wrong",
    [
        {"patch_size": [4]},
        {"patch_size": ["al", 4]},
        {"patch_size": [0, 4]},
        {"patch_size": [4.0, 4]},
        {"head_dim": 6},
        {"layers": 0},
        {"heads": -1},
        {"dropout_rate": 1.0},
        {"mlp_ratio": 0.0},
        {"cfg_dropout": 0.1},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        DiTOptions(**wrong)


def test_a_patch_larger_than_the_grid_is_refused() -> None:
    with pytest.raises(SdError, match=r"patch_size: 9 does not fit the height 8"):
        build(patch_size=[9, 4])


def test_many_tokens_are_announced() -> None:
    with pytest.warns(UserWarning, match="20480 tokens"):
        build(SERIES, patch_size=[1, 2])


@pytest.mark.parametrize(("channels", "hint"), [(1, "vector_field"), (2, "sample"), (3, "sample")])
def test_fat_patches_ask_for_the_sample(channels: int, hint: str) -> None:
    """16 values per channel; a quarter of the width of 128 is 32."""
    assert build(GridShape(channels, 64, 64), heads=8).prediction_hint == hint


def test_the_shipped_sizes_follow_the_rule() -> None:
    with torch.device("meta"):
        hints = [DiT(DiTOptions(), Task(shape)).prediction_hint for shape in (SQUARE, GridShape(60, 64, 64), SERIES)]
    assert hints == ["vector_field", "sample", "sample"]


def test_a_bottleneck_narrows_fat_patches_only() -> None:
    fat = GridShape(4, 64, 64)
    assert "patch_in.1.weight" in build(fat, bottleneck=24).state_dict()
    assert "patch_in.weight" in build(fat, bottleneck=0).state_dict()
    assert "patch_in.weight" in build(fat, bottleneck=64).state_dict(), "as wide as the patch: it would narrow nothing"
    assert "patch_in.weight" in build(GridShape(1, 64, 64), bottleneck=8, heads=4).state_dict(), "a quarter is not more"


@pytest.mark.parametrize("larger", [{"layers": 3}, {"heads": 4}, {"head_dim": 32}, {"mlp_ratio": 8.0}])
def test_larger_options_make_a_larger_network(larger: dict[str, Any]) -> None:
    assert parameters(build(**larger)) > parameters(build())


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


def test_rows_are_told_apart_by_a_table_unless_there_is_one() -> None:
    assert build().state_dict()["rows"].shape == (2, 32)
    assert build().param_roles()["rows"] == "vector"
    assert build(row_embedding=False).rows is None
    assert build(patch_size=["all", 4]).rows is None
