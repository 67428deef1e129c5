"""The fusion of directions against its definition, direction by direction."""

from __future__ import annotations

import torch
from torch import Tensor

from sd_localmamba.fusion import DirectionFusion


def by_definition(fusion: DirectionFusion, y: Tensor) -> Tensor:
    """One example and one direction at a time, with the exact Gaussian error function."""
    out = torch.zeros_like(y[:, :, 0])
    for b in range(len(y)):
        for k in range(y.shape[2]):
            direction = y[b, :, k]
            centred = direction - direction.mean(1, keepdim=True)
            normed = centred / (centred.square().mean(1, keepdim=True) + fusion.norm.eps).sqrt()
            normed = normed * fusion.norm.weight + fusion.norm.bias
            summary = torch.nn.functional.gelu(fusion.reduce_global(normed.mean(0)))
            channel = torch.sigmoid(fusion.channel(summary))
            for position in range(y.shape[1]):
                local = torch.nn.functional.gelu(fusion.reduce_local(normed[position]))
                gate = torch.sigmoid(fusion.position(torch.cat([local, summary])))
                out[b, position] += direction[position] * channel * gate
    return out


def fusion_and_input() -> tuple[DirectionFusion, Tensor]:
    torch.manual_seed(0)
    fusion = DirectionFusion(16).double()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    return fusion, 3 * torch.randn(2, 7, 3, 16, dtype=torch.float64) + 1


def test_it_is_the_sum_of_gated_directions() -> None:
    fusion, y = fusion_and_input()
    torch.testing.assert_close(fusion(y), by_definition(fusion, y), rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_the_definition() -> None:
    fusion, y = fusion_and_input()
    seed = torch.randn(2, 7, 16, dtype=torch.float64)
    inputs = [y.requires_grad_(), *fusion.parameters()]
    ours = torch.autograd.grad((fusion(y) * seed).sum(), inputs)
    theirs = torch.autograd.grad((by_definition(fusion, y) * seed).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_directions_have_no_rank() -> None:
    fusion, y = fusion_and_input()
    torch.testing.assert_close(fusion(y.flip(2)), fusion(y), rtol=1e-12, atol=1e-12)
