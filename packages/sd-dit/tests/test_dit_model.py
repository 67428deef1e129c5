"""The diffusion transformer beyond the contract."""

from __future__ import annotations

import pytest
import torch

from sd_core.plugin import Condition, GridShape, Task
from sd_core.testing.architecture import wake
from sd_dit.model import DiT
from sd_dit.options import DiTOptions

SHAPE = GridShape(2, 8, 12)
OPTIONS = DiTOptions(layers=2, heads=2, head_dim=16)


def build(condition: Condition = Condition(), options: DiTOptions = OPTIONS) -> DiT:  # noqa: B008  (frozen)
    torch.manual_seed(0)
    return DiT(options, Task(SHAPE, condition)).eval()


def awake(condition: Condition = Condition(), options: DiTOptions = OPTIONS) -> DiT:  # noqa: B008  (frozen)
    network = build(condition, options)
    wake(network)
    return network


X = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
T = torch.tensor([0.2, 0.7])


def test_it_starts_at_zero_and_its_blocks_as_the_identity() -> None:
    network = build()
    assert not network(X, T).any()
    hidden, (cos, sin) = torch.randn(2, 6, 32), network.rope()
    for block in network.block_modules():
        assert torch.equal(block(hidden, torch.randn(2, 32), cos, sin), hidden)


def test_it_has_no_biases() -> None:
    assert not [name for name, _ in build(Condition(5, 7)).named_parameters() if name.endswith("bias")]


def test_muon_gets_the_hidden_matrices_and_nothing_else() -> None:
    roles = build(Condition(5, 7)).param_roles()
    matrices = {name.split(".", 2)[2] for name, role in roles.items() if role == "matrix"}
    assert matrices == {
        "attention.qkv.weight",
        "attention.out.weight",
        "feedforward.gate_up.weight",
        "feedforward.down.weight",
    }
    assert roles["blocks.0.modulation.weight"] == roles["tokens_in.weight"] == "embedding"
    assert roles["blocks.0.attention.key_gain"] == "vector"


def test_tokens_have_no_order() -> None:
    network = awake(Condition(tokens=7))
    tokens = torch.randn(2, 5, 7)
    torch.testing.assert_close(network(X, T, tokens=tokens.flip(1)), network(X, T, tokens=tokens), rtol=1e-4, atol=1e-5)


def test_patches_answer_at_their_own_place_behind_the_tokens() -> None:
    """With blocks that are still the identity, a patch reaches its own part of the output only."""
    network = build(Condition(tokens=7))
    torch.nn.init.normal_(network.output.weight)
    tokens, changed = torch.randn(2, 5, 7), X.clone()
    changed[:, :, 4:, 4:8] += 1
    difference = (network(changed, T, tokens=tokens) - network(X, T, tokens=tokens)).abs() > 1e-6
    assert difference[:, :, 4:, 4:8].any()
    difference[:, :, 4:, 4:8] = False
    assert not difference.any()


@pytest.mark.parametrize("axis", [2, 3])
def test_patches_have_an_order_on_both_axes(axis: int) -> None:
    """A bag of patches would answer reordered patches with the same answers, reordered."""
    network = awake(options=OPTIONS.model_copy(update={"row_embedding": False}))

    def reordered(x: torch.Tensor) -> torch.Tensor:
        first, second, *rest = x.split(4, dim=axis)
        return torch.cat([second, first, *rest], dim=axis)

    assert (network(reordered(X), T) - reordered(network(X, T))).abs().max() > 1e-3


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
    assert (half.float() - exact).square().mean().sqrt() < 0.1 * exact.square().mean().sqrt()


def test_it_learns_to_return_its_input() -> None:
    """A few steps at constant noise level, and the error falls well below predicting the mean."""
    torch.manual_seed(0)
    network = build().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    loss = torch.ones(())
    for _ in range(80):
        x = torch.randn(16, 2, 1, 1).expand(16, *SHAPE) + 0.1 * torch.randn(16, *SHAPE)
        loss = (network(x, torch.full((16,), 0.5)) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
