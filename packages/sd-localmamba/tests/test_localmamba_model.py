"""LocalMamba beyond the contract."""

from __future__ import annotations

import pytest
import torch

from sd_core.plugin import Condition, GridShape, Task
from sd_core.testing.architecture import wake
from sd_localmamba.model import LocalMamba
from sd_localmamba.options import LocalMambaOptions
from sd_localmamba.pooling import TokenPooling

SHAPE = GridShape(2, 8, 12)
OPTIONS = LocalMambaOptions(depths=(1, 1), widths=(16, 32), d_state=4, mapping_width=32, mapping_depth=1)


def build(condition: Condition = Condition(), options: LocalMambaOptions = OPTIONS) -> LocalMamba:  # noqa: B008  (frozen)
    torch.manual_seed(0)
    return LocalMamba(options, Task(SHAPE, condition)).eval()


def awake(condition: Condition = Condition(), options: LocalMambaOptions = OPTIONS) -> LocalMamba:  # noqa: B008  (frozen)
    network = build(condition, options)
    wake(network)
    return network


X = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
T = torch.tensor([0.2, 0.7])


def test_it_starts_at_zero_and_its_blocks_as_the_identity() -> None:
    network = build()
    assert not network(X, T).any()
    for block, (rows, columns, width) in zip(
        network.block_modules(), [(4, 6, 16), (2, 3, 32), (4, 6, 16)], strict=True
    ):
        hidden = torch.randn(2, rows, columns, width)
        assert torch.equal(block(hidden, torch.randn(2, 32)), hidden)


def test_muon_gets_the_hidden_matrices_and_nothing_else() -> None:
    roles = build(Condition(5, 7)).param_roles()
    matrices = {".".join(name.split(".")[-3:-1]) for name, role in roles.items() if role == "matrix"}
    assert matrices == {"ss2d.in_proj", "ss2d.out_proj", "feedforward.gate_up", "feedforward.down"}


def test_decays_skips_and_step_sizes_are_not_decayed() -> None:
    roles = build().param_roles()
    names = ("log_decay", "skip", "step_bias", "conv.bias", "norm.weight")
    vectors = [name for name in roles if name.endswith(tuple(f"ss2d.{end}" for end in names))]
    assert len(vectors) == 3 * len(names)
    assert {roles[name] for name in vectors} == {"vector"}


def test_the_mapping_and_its_modulations_learn_slowly() -> None:
    mapping = {name for name, role in build(Condition(5, 7)).param_roles().items() if role == "mapping"}
    assert "condition.mapping.layers.0.down.weight" in mapping
    assert "levels.middle.0.scan_norm.gain.weight" in mapping
    assert not any("vector_in" in name or "ss2d" in name for name in mapping)


def test_tokens_have_no_order_and_weigh_differently() -> None:
    network = awake(Condition(tokens=7))
    tokens = torch.randn(2, 5, 7)
    exact = network(X, T, tokens=tokens)
    torch.testing.assert_close(network(X, T, tokens=tokens.flip(1)), exact, rtol=1e-4, atol=1e-5)
    pooling = TokenPooling(7, 16)
    torch.nn.init.normal_(pooling.scores.weight)
    assert not torch.allclose(pooling(tokens), pooling.values(tokens).mean(1), atol=1e-3)
    torch.testing.assert_close(pooling(tokens[:, :1]), pooling.values(tokens[:, 0]))


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS.model_copy(update={"axial_embedding": False})])
@pytest.mark.parametrize("axis", [2, 3])
def test_patches_have_an_order_on_both_axes(axis: int, options: LocalMambaOptions) -> None:
    """A bag of patches would answer reordered patches with the same answers, reordered."""
    network = awake(options=options)

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
    network = build(options=OPTIONS.model_copy(update={"directions": ("h", "h_flip")})).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    loss = torch.ones(())
    for _ in range(50):
        x = torch.randn(16, 2, 1, 1).expand(16, *SHAPE) + 0.1 * torch.randn(16, *SHAPE)
        loss = (network(x, torch.full((16,), 0.5)) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
