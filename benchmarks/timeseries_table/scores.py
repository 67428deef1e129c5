"""The scores of the table: of real and generated windows (n, steps, features) in [0, 1], a value for each seed.

Protocol: TimeGAN (Yoon 2019) for the discriminative and the predictive score, Diffusion-TS (Yuan & Qiao 2024) for the
correlational score and for the repeats.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.timeseries_table.recurrent import BATCH, Readers, fit

Array = NDArray[np.float32]
Measure = Callable[[Array, Array, list[int]], list[float]]

REPEATS = 5
_T_975 = 2.776
"""Quantile .975 of Student's t with REPEATS - 1 degrees of freedom."""


def discriminative(real: Array, generated: Array, seeds: list[int], iterations: int = 2000) -> list[float]:
    """|accuracy - .5| of GRUs that tell real from generated; 80 % of each for training, 20 % for testing."""
    sides = [_tensor(real), _tensor(generated)]
    randoms = _generators(seeds)
    orders = [np.stack([random.permutation(len(side)) for random in randoms]) for side in sides]
    cuts = [int(0.8 * len(side)) for side in sides]
    training = [order[:, :cut] for order, cut in zip(orders, cuts, strict=True)]
    judges = Readers(seeds, real.shape[2], max(1, real.shape[2] // 2))

    def loss() -> Tensor:
        batches = [side[_batch(rows, randoms)] for side, rows in zip(sides, training, strict=True)]
        of_real, of_generated = judges(torch.cat(batches, 1))[:, -1].chunk(2, 1)
        return F.softplus(-of_real).mean(1) + F.softplus(of_generated).mean(1)

    fit(judges, loss, iterations)
    with torch.no_grad():
        testing = [side[order[:, cut:]] for side, order, cut in zip(sides, orders, cuts, strict=True)]
        verdicts = [judges(windows)[:, -1] > 0 for windows in testing]
    right = torch.cat([verdicts[0], ~verdicts[1]], 1).double().mean(1)
    return [abs(accuracy - 0.5) for accuracy in right.tolist()]


def predictive(real: Array, generated: Array, seeds: list[int], iterations: int = 5000) -> list[float]:
    """Mean absolute error, on real windows, of GRUs trained on generated ones.

    They read all features but the last and foretell the last one step ahead.
    """
    learned, unseen = _tensor(generated), _tensor(real)
    randoms = _generators(seeds)
    every = np.tile(np.arange(len(learned)), (len(seeds), 1))
    features = real.shape[2] - 1
    forecasters = Readers(seeds, features, max(1, real.shape[2] // 2))

    def errors(x: Tensor) -> Tensor:
        foretold = torch.sigmoid(forecasters(x[:, :, :-1, :features]))
        return (foretold - x[:, :, 1:, features].transpose(1, 2)).abs().mean((1, 2))

    fit(forecasters, lambda: errors(learned[_batch(every, randoms)]), iterations)
    with torch.no_grad():
        return [float(value) for value in errors(unseen.expand(len(seeds), *unseen.shape))]


def correlational(real: Array, generated: Array, seeds: list[int]) -> list[float]:
    """Sum over the pairs of features of |difference of their correlations| / 10, lag 0.

    Each repeat takes a fifth of either side, drawn with replacement, as the published code does; with all windows
    there would be nothing to repeat.
    """
    return [correlation_distance(*(_fifth(side, rng) for side in (real, generated))) for rng in _generators(seeds)]


def correlation_distance(real: Array, generated: Array) -> float:
    """The same of all windows given: 0 for identical ones."""
    ours, theirs = (np.corrcoef(side.reshape(-1, side.shape[2]).astype(np.float64).T) for side in (real, generated))
    return float(np.abs(np.tril(ours - theirs)).sum() / 10)


MEASURES: dict[str, Measure] = {
    "discriminative": discriminative,
    "correlational": correlational,
    "predictive": predictive,
}


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t."""
    assert len(values) == REPEATS, "the quantile is that of five repeats"
    return statistics.fmean(values), _T_975 * statistics.stdev(values) / len(values) ** 0.5


def _generators(seeds: list[int]) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def _fifth(windows: Array, rng: np.random.Generator) -> Array:
    return windows[rng.integers(len(windows), size=max(2, len(windows) // REPEATS))]


def _tensor(windows: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))


def _batch(rows: NDArray[np.int64], randoms: list[np.random.Generator]) -> Tensor:
    """`BATCH` of each network's rows (networks, n), drawn with replacement."""
    drawn = [own[random.integers(len(own), size=BATCH)] for own, random in zip(rows, randoms, strict=True)]
    return torch.from_numpy(np.stack(drawn))
