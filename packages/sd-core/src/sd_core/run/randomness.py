"""Stateless randomness: what is drawn follows from (seed, stream, index) and nothing else.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in plain
tensor operations, so that every device, batch size and process draws the same numbers for the
same sample. The counter holds (block, stream, index low, index high), the key holds the seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


class Stream(IntEnum):
    """What a random number is for; numbers of different streams are independent."""

    NOISE = 0
    DROPOUT = 1
    TIMES = 2
    ORDER = 3
    HELD_OUT = 4
    SAMPLE = 5
    LABELS = 6


def words(seed: int, stream: Stream, index: Tensor, count: int) -> Tensor:
    """Random 32-bit words as int64, (len(index), count rounded up to a multiple of 4).

    Args:
        seed: below 2**63.
        stream: what the numbers are for.
        index: (B,) int64, one row of numbers each; the result lies on its device.
        count: words per row.
    """
    blocks = torch.arange(-(-count // 4), dtype=torch.int64, device=index.device)
    shape = (len(index), len(blocks))
    c0 = blocks[None, :].expand(shape)
    c1 = torch.full(shape, int(stream), dtype=torch.int64, device=index.device)
    c2 = (index & _MASK)[:, None].expand(shape)
    c3 = ((index >> 32) & _MASK)[:, None].expand(shape)
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(_ROUNDS):
        # Products wrap modulo 2**64 in int64: the bits are those of the unsigned product.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = ((p1 >> 32) & _MASK).bitwise_xor_(c1).bitwise_xor_(k0)
        c2 = ((p0 >> 32) & _MASK).bitwise_xor_(c3).bitwise_xor_(k1)
        c1, c3 = p1.bitwise_and_(_MASK), p0.bitwise_and_(_MASK)
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return torch.stack((c0, c1, c2, c3), dim=-1).flatten(1)


def uniform(seed: int, stream: Stream, index: Tensor, count: int = 1) -> Tensor:
    """Float64 numbers strictly between 0 and 1, (len(index), count)."""
    return (words(seed, stream, index, count)[:, :count].double() + 0.5) * 2.0**-32


def normal(seed: int, stream: Stream, index: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normal float32 numbers, (len(index), *shape), by Box and Muller (1958)."""
    count = math.prod(shape)
    pairs = words(seed, stream, index, count).float().add_(0.5).mul_(2.0**-32).unflatten(1, (-1, 2))
    radius = pairs[..., 0].log().mul_(-2).sqrt_()
    angle = pairs[..., 1] * (2 * math.pi)
    flat = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=-1).flatten(1)
    return flat[:, :count].reshape(len(index), *shape)


def permutation(seed: int, stream: Stream, index: int, count: int) -> Tensor:
    """A random order of 0 .. count-1, int64 on the CPU: the ranks of 63-bit random keys."""
    pairs = words(seed, stream, torch.tensor([index]), 2 * count)[0, : 2 * count].unflatten(0, (-1, 2))
    return torch.argsort((pairs[:, 0] >> 1 << 32) | pairs[:, 1], stable=True)


def torch_seed(*coordinates: int) -> int:
    """A seed for `torch.manual_seed` that follows from the run's seed and a place in the run.

    Used for initial weights, and for dropout inside networks: the one thing that may depend on the
    number of processes.
    """
    digest = hashlib.blake2b(repr(coordinates).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
