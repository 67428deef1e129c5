"""The reader that the field compares with: EEGNet (Lawhern 2018) from braindecode, on short crops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor, nn
from torch.nn import functional as F

from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.options import EegnetOptions
from sd_data.metrics.readers import Array, Examples, Taught
from sd_data.metrics.usefulness import Usefulness

LOWEST_RATE = 60.0
"""Hz that are kept at least: 125 becomes 62.5, beta and what lies below it, for a sixth of the time."""
SHORTEST = 64
"""Samples at that rate without which its two poolings, by 32 together, leave nothing to look at."""
LOUDEST = 20.0
"""Usual standard deviations at which input is clipped: a window that exploded is not to explode the network."""
MOST_CROPS = 2048
"""Read of a set of windows: a thousand windows by two crops each, a few seconds."""
_BATCH = 32
_ROWS_AT_ONCE = 64


def usefulness(options: EegnetOptions) -> Usefulness:
    """TSTR, TRTS, TRTR and augmentation gain by EEGNet."""
    return Usefulness(EegnetReader(options), "EEGNet", slow=True)


class EegnetReader:
    """EEGNet-8,2 on crops of `crop_s` seconds, at a rate of about 60 Hz.

    Signals are divided by one number, the usual standard deviation of an electrode in training windows. What is
    loud stays loud: amplitude, alpha power, topography and the differences between people are all there to be
    read.

    Every step sees crops at random places of 32 windows, as many of each class and source, for a fixed number
    of steps under a one-cycle learning rate: with a handful of people, three to stop by would be stopping by
    chance. A window is read by the mean log probability of its consecutive crops. Batch normalisation forgets in
    ten steps instead of braindecode's hundred, which are most of a training here, and the last layer starts at zero:
    drawn at random it has opinions that 150 steps do not always get over.

    Rest or arithmetic in people of eegmat who are not in training (five folds of 20 people, two seeds): balanced
    accuracy .72, AUROC .85; with a last layer drawn at random anything from .54 to .70. Published: .677, on
    segments of 5 s and 28 people in training (CBraMod's table).

    It runs on the CPU, with torch's random state, mode and thread count as they were found; the same seed gives
    the same numbers for the same number of threads.
    """

    def __init__(self, options: EegnetOptions) -> None:
        self.options = options
        self.seeds = options.seeds

    def can_read(self, info: SignalInfo) -> bool:
        """Whether a window lasts a second or so."""
        return _View.of(info, self.options.crop_s).kept >= SHORTEST

    def teach(self, sources: Sequence[Examples], unit: float, seed: int) -> Taught:
        """Train from scratch; chance is a matter of the seed alone."""
        classes = tuple(sorted({name for source in sources for name in source.classes}))
        info = sources[0].windows.info
        view = _View.of(info, self.options.crop_s, unit)
        with _own_torch(seed):
            network = _network(info.n_channels, len(classes), view, self.options.filters)
            _train(network, _batches(sources, classes, view, seed), self.options)
        return _Taught(network.eval(), view, classes)


@dataclass(frozen=True)
class _View:
    """What the network sees of a window."""

    crop: int
    """Samples of a crop at the rate of the data."""
    every: int
    """Samples that become one."""
    rate: float
    """Hz that are left."""
    unit: float

    @classmethod
    def of(cls, info: SignalInfo, crop_s: float, unit: float = 1.0) -> _View:
        """The view of windows of this geometry; a short window is one crop."""
        every = max(1, int(info.sfreq / LOWEST_RATE))
        crop = min(info.n_samples, round(crop_s * info.sfreq)) // every * every
        return cls(crop, every, info.sfreq / every, unit)

    @property
    def kept(self) -> int:
        """Samples that the network sees."""
        return self.crop // self.every

    def __call__(self, crops: NDArray[np.float32]) -> Tensor:
        """(B, channels, crop) in uV -> (B, channels, kept), about unit variance."""
        fewer = resample_poly(crops, 1, self.every, axis=-1, padtype="line") if self.every > 1 else crops
        scaled = np.clip(np.nan_to_num(fewer / max(self.unit, 1e-6)), -LOUDEST, LOUDEST)
        return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))


@dataclass(frozen=True)
class _Taught:
    network: nn.Module
    view: _View
    classes: tuple[str, ...]

    def __call__(self, windows: Windows, rows: Sequence[int]) -> Array:
        """Geometric mean over crops of a window, all or as many as keep to `MOST_CROPS`."""
        crop = self.view.crop
        every = range(0, windows.info.n_samples - crop + 1, crop)
        few = min(len(every), max(1, MOST_CROPS // max(1, len(rows))))
        starts = [every[len(every) * number // few] for number in range(few)]
        found = []
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                signal = windows.signal[list(rows[first : first + _ROWS_AT_ONCE])]
                logs = [F.log_softmax(self.network(self.view(signal[..., at : at + crop])), -1) for at in starts]
                found.append(torch.softmax(torch.stack(logs).mean(0), -1).double().numpy())
        return np.concatenate(found) if found else np.zeros((0, len(self.classes)))


def _network(n_channels: int, n_classes: int, view: _View, filters: int) -> nn.Module:
    """EEGNet with a first kernel of half a second (Lawhern 2018, table 2)."""
    # Here, since the import takes seconds and only conditional models are judged by it.
    models = import_module("braindecode.models")
    # Of braindecode 1.0 on it is called EEGNet; before, EEGNetv4.
    eegnet = getattr(models, "EEGNet", None) or models.EEGNetv4
    network: nn.Module = eegnet(
        n_chans=n_channels,
        n_outputs=n_classes,
        n_times=view.kept,
        F1=filters,
        D=2,
        F2=2 * filters,
        kernel_length=2 * round(view.rate / 4),
        drop_prob=0.25,
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)][-1]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return network


def _train(network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], options: EegnetOptions) -> None:
    """AdamW under one cycle of the learning rate, on cross-entropy."""
    optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=options.steps)
    network.train()
    for _, (crops, classes) in zip(range(options.steps), batches, strict=False):
        optimizer.zero_grad()
        F.cross_entropy(network(crops), classes).backward()
        optimizer.step()
        schedule.step()


def _batches(
    sources: Sequence[Examples], classes: Sequence[str], view: _View, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Crops and classes without end, dealt in turn to every class of every source."""
    rng = np.random.default_rng([seed, 8])
    cells = [
        (source.windows, [row for row, label in zip(source.rows, source.labels, strict=True) if label == name], name)
        for source in sources
        for name in source.classes
    ]
    deck = _deck(len(cells), rng)
    while True:
        crops, labels = [], []
        for cell in itertools.islice(deck, _BATCH):
            windows, rows, name = cells[cell]
            at = rng.integers(windows.info.n_samples - view.crop + 1)
            crops.append(windows.signal[rng.choice(rows), :, at : at + view.crop])
            labels.append(classes.index(name))
        yield view(np.stack(crops)), torch.tensor(labels)


def _deck(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Numbers below `count` without end, in shuffled rounds that hold each of them once."""
    while True:
        yield from rng.permutation(count).tolist()


@contextmanager
def _own_torch(seed: int) -> Iterator[None]:
    """Gradients on the CPU in float32, with random numbers of this seed; everything as before afterwards."""
    with (
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
    ):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every GPU too
        yield
