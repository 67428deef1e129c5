"""Orders in which a grid of tokens is scanned, and back. Every order is a permutation of the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sd_localmamba.options import Direction


def scan_order(direction: Direction, rows: int, columns: int) -> Tensor:
    """Which token, counted row by row, stands at each place of the scan: (rows * columns,) int64.

    A window larger than an axis spans it. Where windows do not divide the grid, those at the border
    are smaller: no token stands for nothing, so that none has to be kept away from the others.
    """
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    if direction.by_columns:
        rank = column * rows + row
    else:
        height, width = (min(direction.window or size, size) for size in (rows, columns))
        window = row // height * -(-columns // width) + column // width
        rank = (window * height + row % height) * width + column % width
    order = rank.flatten().argsort()
    return order.flip(0) if direction.flip else order


class ScanOrders(nn.Module):
    """The K directions of a grid of L tokens, there and back by one gather each.

    The indices are buffers outside the state dict; `reset_parameters` computes them again after a
    network was built on the meta device and given memory.
    """

    tokens: Tensor
    """(K * L,): the token at each place of the scans, laid end to end."""
    own: Tensor
    """(K * L,): the row of a (L * K) table, K rows per token, that belongs to that place."""
    places: Tensor
    """(L * K,): the inverse of `own`, the place of every token in each scan."""

    def __init__(self, directions: Sequence[str], rows: int, columns: int) -> None:
        super().__init__()
        self.directions = tuple(directions)
        self.grid = (rows, columns)
        for name, indices in self._indices().items():
            self.register_buffer(name, indices, persistent=False)

    def _indices(self) -> dict[str, Tensor]:
        count = len(self.directions)
        orders = torch.stack([scan_order(Direction.named(name), *self.grid) for name in self.directions])
        own = (orders * count + torch.arange(count)[:, None]).flatten()
        return {"tokens": orders.flatten(), "own": own, "places": own.argsort()}

    def reset_parameters(self) -> None:
        """Fill the indices, on whatever device they are."""
        with torch.no_grad():
            for name, indices in self._indices().items():
                getattr(self, name).copy_(indices)

    def arrange(self, x: Tensor) -> Tensor:
        """What all directions read, x (B, L, C) row by row -> (B, K, L, C) in the order of each."""
        return self._by_direction(_Repeat.apply(x, self.tokens, self.places))  # type: ignore[no-untyped-call]

    def arrange_own(self, x: Tensor) -> Tensor:
        """What each direction has for itself, x (B, L, K, C) row by row -> (B, K, L, C) in its order."""
        return self._by_direction(_Permute.apply(x.flatten(1, 2), self.own, self.places))  # type: ignore[no-untyped-call]

    def collect(self, y: Tensor) -> Tensor:
        """The adjoint of `arrange`: y (B, K, L, C) in the order of each direction -> (B, L, C), summed row by row."""
        together = y.flatten(1, 2)
        summed: Tensor = _Sum.apply(together, self.tokens, self.places, y.shape[1])  # type: ignore[no-untyped-call]
        return summed

    def _by_direction(self, x: Tensor) -> Tensor:
        return x.view(len(x), len(self.directions), -1, x.shape[-1])


def _repeat(x: Tensor, tokens: Tensor) -> Tensor:
    """Every token once per direction, (B, L, C) -> (B, K * L, C)."""
    return x.index_select(1, tokens)


def _sum(y: Tensor, places: Tensor, count: int) -> Tensor:
    """The adjoint of `_repeat` as a gather and a sum over neighbours, (B, K * L, C) -> (B, L, C).

    Autograd would add into zeros: on a CPU that takes five times as long as this, and on a GPU it
    rounds differently from run to run.
    """
    neighbours = y.index_select(1, places).view(len(y), -1, count, y.shape[-1])
    return neighbours.sum(2)


class _Repeat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(tokens) // x.shape[1]
        return _repeat(x, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _sum(gradients[0], places, ctx.count), None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, tokens: Tensor, places: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(tokens)
        return _sum(y, places, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _repeat(gradients[0], *ctx.saved_tensors), None, None, None


class _Permute(torch.autograd.Function):
    """x (B, M, C) at `index` (M,), a permutation; its gradient is the gather at the inverse."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(1, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].index_select(1, *ctx.saved_tensors), None, None
