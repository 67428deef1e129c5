"""The noise level as features, the mapping network, and the norms that it scales."""

from __future__ import annotations

import math

import torch
from torch import nn

from sd_core.nn.feedforward import GEGLU
from sd_core.nn.mapping import MappingNetwork, NoiseFeatures, log_noise_level
from sd_core.nn.norms import AdaRMSNorm, rms_norm
from sd_core.nn.roles import parameter_roles
from sd_core.nn.rope import axial_tables, box_positions, head_frequencies


def test_the_noise_level_is_that_of_the_straight_path() -> None:
    sigma = torch.tensor([0.01, 1.0, 80.0])
    torch.testing.assert_close(log_noise_level(sigma / (1 + sigma)), sigma.log() / 4)
    ends = log_noise_level(torch.tensor([0.0, 1.0]))
    assert bool(ends.isfinite().all())
    torch.testing.assert_close(ends[0], -ends[1], rtol=1e-3, atol=0)


def test_noise_features_are_spread_like_a_normal_distribution() -> None:
    """The spread that HDiT draws at random, half of it since cos and sin do not tell signs apart."""
    frequencies = NoiseFeatures(2000).frequencies
    assert abs(frequencies.square().mean() - 1) < 0.01
    assert abs((frequencies < 0.6745).float().mean() - 0.5) < 0.01


def test_near_noise_levels_are_told_apart_and_far_ones_too() -> None:
    features = NoiseFeatures(64)
    near = features(torch.tensor([0.500, 0.505]))
    assert 0.001 < (near[0] - near[1]).norm() / near[0].norm() < 0.1
    low = features(torch.tensor([0.001, 0.002]))
    assert (low[0] - low[1]).norm() / low[0].norm() > 0.1, "small noise levels are as far apart as their ratio"


def test_noise_features_come_back_from_the_state_and_are_filled_anew() -> None:
    features = NoiseFeatures(8)
    expected = features.frequencies.clone()
    features.frequencies.zero_()
    features.reset_parameters()
    assert torch.equal(features.frequencies, expected)
    assert "frequencies" in features.state_dict()


def test_the_mapping_network_is_its_definition() -> None:
    torch.manual_seed(0)
    mapping = MappingNetwork(6, 2, 10)
    for parameter in mapping.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(3, 6)
    expected = rms_norm(x) * mapping.gain_in
    for gain, layer in zip(mapping.gains, mapping.layers, strict=True):
        expected = expected + layer(rms_norm(expected) * gain)
    torch.testing.assert_close(mapping(x), rms_norm(expected) * mapping.gain_out)


def test_the_mapping_network_stays_in_float32_under_autocast() -> None:
    mapping = MappingNetwork(6, 2, 10)
    x = torch.randn(3, 6)
    exact = mapping(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mapping(x), exact)


def test_a_gated_layer_is_its_definition_and_starts_at_zero() -> None:
    layer = GEGLU(4, 7)
    x = torch.randn(2, 3, 4)
    assert not layer(x).any()
    nn.init.normal_(layer.down.weight)
    up, gate = (x @ layer.gate_up.weight.T).split(7, dim=-1)
    gelu = gate * (1 + torch.erf(gate / math.sqrt(2))) / 2
    torch.testing.assert_close(layer(x), (up * gelu) @ layer.down.weight.T)
    dropped = GEGLU(4, 7, dropout_rate=0.5)
    nn.init.normal_(dropped.down.weight)
    assert not torch.equal(dropped(x), dropped(x))
    assert torch.equal(dropped.eval()(x), dropped(x))


def test_the_condition_scales_the_norm_of_each_example() -> None:
    norm = AdaRMSNorm(5, 3)
    x, condition = torch.randn(2, 4, 6, 5), torch.randn(2, 3)
    torch.testing.assert_close(norm(x, condition), rms_norm(x))
    nn.init.normal_(norm.gain.weight)
    gain = 1 + condition @ norm.gain.weight.T
    expected = torch.stack([rms_norm(x[i]) * gain[i] for i in range(2)])
    torch.testing.assert_close(norm(x, condition), expected)
    torch.testing.assert_close(norm(x[:, 0], condition), expected[:, 0])
    assert norm(x.bfloat16(), condition).dtype == torch.bfloat16


def test_everything_in_the_mapping_has_its_role() -> None:
    network = nn.ModuleDict({"mapping": MappingNetwork(4, 1, 6), "norm": AdaRMSNorm(4, 4), "hidden": nn.Linear(4, 4)})
    roles = parameter_roles(network, matrices=[network["hidden"]], mapping=[network["mapping"], network["norm"]])
    assert roles.pop("hidden.weight") == "matrix"
    assert roles.pop("hidden.bias") == "vector"
    assert set(roles.values()) == {"mapping"}


def test_positions_keep_the_aspect_of_the_grid() -> None:
    rows, columns = box_positions(4, 16, (1.0, 8.0))
    torch.testing.assert_close(columns[[0, -1]], torch.tensor([-1 + 1 / 16, 1 - 1 / 16]))
    assert columns[1] - columns[0] == 8 * (rows[1] - rows[0])
    merged, _ = box_positions(2, 8, (2.0, 16.0))
    torch.testing.assert_close(
        merged, rows.reshape(2, 2).mean(1), msg="a merged token stands in the middle of its cell"
    )


def test_heads_have_their_own_frequencies() -> None:
    frequencies = head_frequencies(4, 3)
    assert frequencies.shape == (4, 3)
    values = frequencies.T.flatten()
    torch.testing.assert_close(values[0], torch.tensor(math.pi))
    ratios = values[1:] / values[:-1]
    torch.testing.assert_close(ratios, torch.full((11,), 10 ** (1 / 12)))


def test_tables_may_differ_from_head_to_head() -> None:
    rows, columns, frequencies = torch.arange(2.0), torch.arange(3.0), torch.rand(4, 2)
    cos, sin = axial_tables(rows, columns, frequencies, 16)
    assert cos.shape == sin.shape == (6, 4, 16)
    for head in range(4):
        alone = axial_tables(rows, columns, frequencies[head], 16)
        torch.testing.assert_close((cos[:, head], sin[:, head]), alone)
