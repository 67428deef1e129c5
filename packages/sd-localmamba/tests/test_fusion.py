"""The gates of directions against their definition, direction by direction and position by position."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sd_localmamba.fusion import DirectionGates


def by_definition(gates: DirectionGates, y: Tensor) -> Tensor:
    """LightViT's bi-dimensional attention: the mean before the reduction, the two reduced vectors side by side."""
    local_map, global_map = gates.reduce.weight.chunk(2)
    local_bias, global_bias = gates.reduce.bias.chunk(2)
    position_map = torch.cat([gates.position.weight, gates.position_of_mean.weight], dim=1)
    out = []
    for direction in y.flatten(0, 1):
        centred = direction - direction.mean(1, keepdim=True)
        normed = centred / (centred.square().mean(1, keepdim=True) + gates.norm.eps).sqrt()
        normed = normed * gates.norm.weight + gates.norm.bias
        summary = F.gelu(global_map @ normed.mean(0) + global_bias)
        channel = torch.sigmoid(gates.channel(summary))
        for token, around in zip(direction, normed, strict=True):
            local = F.gelu(local_map @ around + local_bias)
            position = torch.sigmoid(position_map @ torch.cat([local, summary]) + gates.position.bias)
            out.append(token * channel * position)
    return torch.stack(out).view_as(y)


def gates_and_input() -> tuple[DirectionGates, Tensor]:
    torch.manual_seed(0)
    gates = DirectionGates(16).double()
    for parameter in gates.parameters():
        torch.nn.init.normal_(parameter)
    return gates, 3 * torch.randn(2, 3, 7, 16, dtype=torch.float64) + 1


def test_they_are_those_of_the_definition() -> None:
    gates, y = gates_and_input()
    torch.testing.assert_close(gates(y), by_definition(gates, y), rtol=1e-12, atol=1e-12)


def test_their_gradients_are_those_of_the_definition() -> None:
    gates, y = gates_and_input()
    seed = torch.randn_like(y)
    inputs = [y.requires_grad_(), *gates.parameters()]
    ours = torch.autograd.grad((gates(y) * seed).sum(), inputs)
    theirs = torch.autograd.grad((by_definition(gates, y) * seed).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_they_do_not_ask_where_a_token_stands() -> None:
    gates, y = gates_and_input()
    order = torch.randperm(y.shape[2])
    torch.testing.assert_close(gates(y[:, :, order]), gates(y)[:, :, order], rtol=1e-12, atol=1e-12)
