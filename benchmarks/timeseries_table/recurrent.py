"""The small recurrent networks that judge: several GRUs with a linear read-out, trained side by side.

A GRU of three units costs the calls, not the arithmetic: five together take hardly longer than one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

BATCH = 128


class Readers(nn.Module):
    """Independent GRUs with one number per step, as the TensorFlow cell that the published scores were made with.

    That is: the reset gate acts before the product with the state, kernels begin Glorot-uniform over input and state
    together, and both gates are biased by one.

    Args:
        seeds: One network each, whose first weights follow from its seed alone.
        features: Width of the input.
        hidden: Units.
    """

    def __init__(self, seeds: list[int], features: int, hidden: int) -> None:
        super().__init__()
        count = len(seeds)
        randoms = [torch.Generator().manual_seed(seed) for seed in seeds]

        def glorot(rows: int, columns: int) -> nn.Parameter:
            limit = (6 / (rows + columns)) ** 0.5
            drawn = [torch.rand(rows, columns, generator=random) for random in randoms]
            return nn.Parameter(limit * (2 * torch.stack(drawn) - 1))

        self.features, self.hidden = features, hidden
        self.gates = glorot(features + hidden, 2 * hidden)
        self.candidate = glorot(features + hidden, hidden)
        self.gate_bias = nn.Parameter(torch.ones(count, 1, 2 * hidden))
        self.candidate_bias = nn.Parameter(torch.zeros(count, 1, hidden))
        self.out = glorot(hidden, 1)
        self.out_bias = nn.Parameter(torch.zeros(count, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """From x (networks, B, steps, features) -> (networks, steps, B)."""
        count, rows, steps, _ = x.shape
        flat = x.transpose(1, 2).reshape(count, steps * rows, self.features)
        gates_x = torch.baddbmm(self.gate_bias, flat, self.gates[:, : self.features])
        candidate_x = torch.baddbmm(self.candidate_bias, flat, self.candidate[:, : self.features])
        gates_h, candidate_h = self.gates[:, self.features :], self.candidate[:, self.features :]
        state, states = x.new_zeros(count, rows, self.hidden), []
        for gate, candidate in zip(gates_x.split(rows, 1), candidate_x.split(rows, 1), strict=True):
            reset, update = torch.sigmoid(torch.baddbmm(gate, state, gates_h)).chunk(2, -1)
            state = torch.lerp(torch.tanh(torch.baddbmm(candidate, reset * state, candidate_h)), state, update)
            states.append(state)
        read = torch.baddbmm(self.out_bias, torch.cat(states, 1), self.out)
        return read.view(count, steps, rows)


def fit(network: nn.Module, loss: Callable[[], Tensor], iterations: int) -> None:
    """Adam at 1e-3, one batch an iteration; `loss` (networks,) draws it, and no network's loss touches another."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=True)
    for _ in range(iterations):
        optimizer.zero_grad()
        loss().sum().backward()
        optimizer.step()
