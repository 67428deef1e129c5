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
        self.gate_bias = nn.Parameter(torch.ones(2 * count * hidden))
        self.candidate_bias = nn.Parameter(torch.zeros(count * hidden))
        self.out = glorot(hidden, 1)
        self.out_bias = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor) -> Tensor:
        """From x (networks, B, steps, features) -> (networks, steps, B)."""
        count, rows, steps, _ = x.shape
        flat = x.permute(2, 1, 0, 3).reshape(steps * rows, count * self.features)
        halves = [self._spread(half) for half in self.gates.chunk(2, -1)]
        gates, gates_of_state = (torch.cat(parts, 1) for parts in zip(*halves, strict=True))
        candidate, candidate_of_state = self._spread(self.candidate)
        gates_x = torch.addmm(self.gate_bias, flat, gates).split(rows)
        candidate_x = torch.addmm(self.candidate_bias, flat, candidate).split(rows)
        state, states = x.new_zeros(rows, count * self.hidden), []
        for gate_x, new_x in zip(gates_x, candidate_x, strict=True):
            reset, update = torch.sigmoid(torch.addmm(gate_x, state, gates_of_state)).chunk(2, 1)
            state = torch.lerp(torch.tanh(torch.addmm(new_x, reset * state, candidate_of_state)), state, update)
            states.append(state)
        read = torch.stack(states).view(steps, rows, count, self.hidden) * self.out[..., 0]
        return (read.sum(-1) + self.out_bias).permute(2, 0, 1)

    def _spread(self, kernels: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels (networks, features + hidden, units) -> one matrix for all inputs side by side, one for all states.

        They are zero off the blocks of the networks: one product of tiny matrices costs as much as five do.
        """
        of_input, of_state = kernels.split([self.features, self.hidden], 1)
        return torch.block_diag(*of_input), torch.block_diag(*of_state)


def fit(network: nn.Module, loss: Callable[[], Tensor], iterations: int) -> None:
    """Adam at 1e-3, one batch an iteration; `loss` (networks,) draws it, and no network's loss touches another."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=True)
    for _ in range(iterations):
        optimizer.zero_grad()
        loss().sum().backward()
        optimizer.step()
