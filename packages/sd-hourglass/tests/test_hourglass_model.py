"""The hourglass transformer beyond the contract."""

from __future__ import annotations

import pytest
import torch

from sd_core.nn.ushape import Level
from sd_core.plugin import Condition, GridShape, Task
from sd_core.testing.architecture import wake
from sd_hourglass.attention import CosineAttention, GlobalAttention, HeadRope
from sd_hourglass.cosine import turned_units, units
from sd_hourglass.model import Hourglass
from sd_hourglass.options import HourglassOptions

SHAPE = GridShape(2, 8, 12)
OPTIONS = HourglassOptions(depths=(1, 1), widths=(16, 32), head_dim=16, mapping_width=16)
X = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
T = torch.tensor([0.2, 0.7])
LEVEL = Level(0, 32, 3, 5, (1.0, 2.0), is_middle=False)


def build(condition: Condition = Condition(), **changes: object) -> Hourglass:  # noqa: B008  (frozen)
    torch.manual_seed(0)
    return Hourglass(OPTIONS.model_copy(update=changes), Task(SHAPE, condition)).eval()


def awake(condition: Condition = Condition(), **changes: object) -> Hourglass:  # noqa: B008  (frozen)
    network = build(condition, **changes)
    wake(network)
    return network


def test_it_starts_at_zero_and_its_blocks_as_the_identity() -> None:
    network = build()
    assert not network(X, T).any()
    for block, (rows, columns, width) in zip(
        network.block_modules(), [(4, 6, 16), (2, 3, 32), (4, 6, 16)], strict=True
    ):
        hidden = torch.randn(2, rows, columns, width)
        assert torch.equal(block(hidden, torch.randn(2, 16)), hidden)


def test_it_has_no_biases() -> None:
    assert not [name for name, _ in build(Condition(5, 7)).named_parameters() if name.endswith("bias")]


def test_parameters_have_their_roles() -> None:
    roles = build(Condition(5, 7)).param_roles()
    block = {name.removeprefix("ushape.middle.0."): role for name, role in roles.items() if "middle.0." in name}
    assert block == {
        "attention_norm.gain.weight": "mapping",
        "attention.scale": "vector",
        "attention.qkv.weight": "matrix",
        "attention.context.weight": "matrix",
        "attention.out.weight": "matrix",
        "feedforward_norm.gain.weight": "mapping",
        "feedforward.gate_up.weight": "matrix",
        "feedforward.down.weight": "matrix",
    }
    assert {role for name, role in roles.items() if name.startswith("condition.mapping.")} == {"mapping"}
    assert roles["ushape.merges.0.project.weight"] == roles["ushape.splits.0.project.weight"] == "matrix"
    assert roles["patch_in.weight"] == roles["condition.vector_in.weight"] == roles["tokens_in.weight"] == "embedding"


def test_lora_targets_are_in_every_block() -> None:
    network = build()
    names = [name for name, _ in network.named_modules() if name.endswith(Hourglass.lora_targets)]
    assert len(names) == 4 * len(network.block_modules())


def test_tokens_have_no_order_and_other_levels_do_not_see_them() -> None:
    network = awake(Condition(tokens=7))
    tokens = torch.randn(2, 5, 7)
    torch.testing.assert_close(network(X, T, tokens=tokens.flip(1)), network(X, T, tokens=tokens), rtol=1e-4, atol=1e-5)
    seeing = [name for name, _ in network.named_parameters() if name.endswith("attention.context.weight")]
    assert seeing == ["ushape.middle.0.attention.context.weight"]


@pytest.mark.parametrize("axis", [2, 3])
def test_patches_have_an_order_on_both_axes(axis: int) -> None:
    """A bag of patches would answer reordered patches with the same answers, reordered."""
    network = awake(row_embedding=False, input_level=False, attention=("global", "global"))

    def reordered(x: torch.Tensor) -> torch.Tensor:
        first, second, *rest = x.split(4, dim=axis)
        return torch.cat([second, first, *rest], dim=axis)

    assert (network(reordered(X), T) - reordered(network(X, T))).abs().max() > 1e-3


def test_attention_is_by_the_cosine_times_a_scale() -> None:
    """However large the activations grow, logits stay between minus and plus the scale."""
    torch.manual_seed(0)
    attention = CosineAttention(LEVEL, 16, GlobalAttention())
    torch.nn.init.eye_(attention.out.weight)
    x = torch.randn(2, 3, 5, 32)
    with torch.no_grad():
        out = attention(x)
        both, value = attention.qkv(x).unflatten(-1, (3, 2, 16)).split((2, 1), dim=-3)
        query, key = turned_units(both, torch.ones(2, 2), attention.rope.cos, attention.rope.sin).unbind(-3)
        value = value.squeeze(-3)
        logits = 10 * torch.einsum("byxhd,bvuhd->bhyxvu", query, key)
        weights = logits.flatten(-2).softmax(-1).unflatten(-1, (3, 5))
        expected = torch.einsum("bhyxvu,bvuhd->byxhd", weights, value).flatten(-2)
        torch.testing.assert_close(out, expected)
        assert logits.abs().max() <= 10
        attention.qkv.weight[: 2 * 32] *= 50
        torch.testing.assert_close(attention(x), out, rtol=1e-4, atol=1e-5)


def test_turned_units_are_their_definition_and_so_is_their_gradient() -> None:
    """Against the chain of plain operations, in float64."""
    rope = HeadRope(LEVEL, 2, 16).double()
    factor = torch.tensor([[3.0, -2.0], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 3, 5, 2, 2, 16, dtype=torch.float64, requires_grad=True)

    def chain(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        scaled = units(x) * factor[..., None]
        return scaled * rope.cos + scaled.roll(8, -1) * rope.sin

    gradient = torch.randn_like(x)
    outs = [function(x, factor) for function in (chain, lambda x, f: turned_units(x, f, rope.cos, rope.sin))]
    torch.testing.assert_close(outs[0], outs[1])
    for one, other in zip(*(torch.autograd.grad(out, (x, factor), gradient) for out in outs), strict=True):
        torch.testing.assert_close(one, other)


def test_positions_turn_half_of_the_channels_by_physical_distance() -> None:
    """A column is two steps wide, a row one: two rows down is as far as one column to the right."""
    rope = HeadRope(LEVEL, 2, 16)
    still = ((rope.cos == 1) & (rope.sin == 0)).flatten(0, -2).all(0).nonzero().flatten().tolist()
    assert still == [4, 5, 6, 7, 12, 13, 14, 15]
    angles = torch.atan2(-rope.sin, rope.cos)[:, :, 0, :, :4]
    down, right = angles[2, 0] - angles[0, 0], angles[0, 1] - angles[0, 0]
    torch.testing.assert_close(down[:, :2].cos(), right[:, 2:].cos(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(down[0], down[1]), "heads turn at their own rates"


def test_a_condition_that_it_was_built_for_must_come() -> None:
    with pytest.raises(ValueError, match="vector"):
        build(Condition(vector=5))(X, T)
    with pytest.raises(ValueError, match="tokens"):
        build(Condition(tokens=5))(X, T)


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="2x8x12"):
        build()(torch.zeros(2, 2, 8, 8), T)


def test_it_runs_in_bfloat16_as_a_whole() -> None:
    """For sampling with less memory; training keeps float32 weights."""
    network = awake(Condition(5, 7))
    exact = network(X, T, torch.ones(2, 5), torch.ones(2, 3, 7))
    ones = torch.ones(2, 5, dtype=torch.bfloat16), torch.ones(2, 3, 7, dtype=torch.bfloat16)
    half = network.bfloat16()(X.bfloat16(), T, *ones)
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).square().mean().sqrt() < 0.2 * exact.square().mean().sqrt()


def test_it_learns_to_return_its_input() -> None:
    """A few steps at constant noise level, and the error falls well below predicting the mean."""
    torch.manual_seed(0)
    network = build().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    loss = torch.ones(())
    for _ in range(80):
        x = torch.randn(16, 2, 1, 1).expand(16, *SHAPE) + 0.1 * torch.randn(16, *SHAPE)
        loss = (network(x, torch.full((16,), 0.5)) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
