"""Phases for magnitudes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sd_data.representations.stft import ShortTimeFourier

CHUNK = 16
"""Windows at a time: keeps the intermediates of an iteration in the cache."""


def griffin_lim(magnitude: Tensor, transform: ShortTimeFourier, iterations: int, momentum: float = 0.99) -> Tensor:
    """Magnitudes (B, channels, height, width) -> complex: the fast Griffin-Lim algorithm (Perraudin 2013, algorithm 2).

    Starts from one seeded field of phases, the same for every window, so that what a window becomes depends on
    its magnitudes only, not on the batch it came in; and the same for every electrode, because neighbours that
    see one source are in phase: on eegmat the correlations between electrodes then follow the real ones with
    r = .8, from phases of their own with r = .1.
    """
    angle = torch.rand(magnitude.shape[-2:], generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    phasor = torch.polar(torch.ones_like(angle), angle).to(magnitude.device)
    chunks = (magnitude[start : start + CHUNK] for start in range(0, len(magnitude), CHUNK))
    return torch.cat([_iterate(chunk, phasor, transform, iterations, momentum) for chunk in chunks])


def _iterate(
    magnitude: Tensor, phasor: Tensor, transform: ShortTimeFourier, iterations: int, momentum: float
) -> Tensor:
    spectrum = magnitude * phasor
    before = torch.zeros_like(spectrum)
    for _ in range(iterations):
        consistent = transform.analyse(transform.synthesise(spectrum))
        ahead = consistent + momentum * (consistent - before)
        spectrum = ahead * (magnitude / ahead.abs().clamp(min=1e-9))
        before = consistent
    return spectrum
