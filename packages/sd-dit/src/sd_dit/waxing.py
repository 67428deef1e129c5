"""How the power of a noisy window waxes and wanes, octave by octave."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

OCTAVES = 7
"""Halves of the spectrum, of what is below them, and so on; the last is all that is left."""
TOGETHER = ((0.04, 600.0), (0.02, 75.0))
"""Variance and correlation time (samples) of the drifts in relative power that octaves have in common."""
APART = ((0.05, 600.0), (0.04, 75.0))
"""The same of each octave against what they have in common. Both from 14 people of eegmat, rounded."""
LEAST_SHOWN = 0.01
"""Data in the noise, as a ratio of powers, below which no more is made of a drift."""
LEAST = 0.1
"""Of its mean, which power never falls below."""

Drifts = Sequence[tuple[float, float]]
Series = Callable[[Tensor, slice], Tensor]
"""Of a spectrum (B, rows, frequencies, 2) the waveform (B, rows, samples) of some frequencies alone."""


class _Seen(NamedTuple):
    """What one octave shows of its power."""

    frequencies: slice
    shown: Tensor
    """Power of data over that of noise: (B, 1, 1)."""
    drift: Tensor
    """Of the data's relative power, as measured: (B, 1, samples)."""
    noise: Tensor
    """Its variance in a sample: (B, 1, 1)."""


def octaves(count: int) -> list[slice]:
    """So many frequencies, from low to high, in `OCTAVES` octaves, or in as many as there are."""
    edges = [0, *(edge for edge in (count >> place for place in reversed(range(OCTAVES))) if edge)]
    return [slice(low, high) for low, high in pairwise(edges)]


def waxing(spectrum: Tensor, power: Tensor, t: Tensor, series: Series) -> list[tuple[slice, Tensor]]:
    """Power of x_t over time, relative to its mean over the window, of all rows together in each octave.

    The data's power is taken for 1 + drift, where drifts are Ornstein-Uhlenbeck processes; Wiener's smoother finds
    them in the squares of x_t, those that octaves have in common first. A window is then a Gaussian scale mixture
    (Portilla et al. 2003), one scale for each moment: drawn so, EEG waxes and wanes, and its kurtosis is not zero.

    Args:
        spectrum: (B, rows, frequencies, 2) of x_t, over the root of `power`.
        power: (B, rows or 1, frequencies, 1) of x_t, against white data.
        t: (B, 1, 1, 1), inside (0, 1).
        series: Of a spectrum the waveform of some frequencies.

    Returns:
        Per octave its frequencies and (B, 1, samples) of mean about 1.
    """
    seen = [_see(spectrum, power, t, octave, series(spectrum, octave)) for octave in octaves(spectrum.shape[2])]
    precision = sum((1 / each.noise for each in seen), torch.zeros_like(seen[0].noise))
    mean = sum((each.drift / each.noise for each in seen), torch.zeros_like(seen[0].drift)) / precision
    common = (1 + smoothed(mean, 1 / precision, TOGETHER)).clamp(min=LEAST)
    return [(each.frequencies, _of_octave(each, common)) for each in seen]


def smoothed(drift: Tensor, noise: Tensor, drifts: Drifts) -> Tensor:
    """Wiener's smoother of drifts (B, 1, samples) seen in white noise of variance (B, 1, 1); mirrored at both ends."""
    samples = drift.shape[-1]
    omega = 2 * math.pi * torch.fft.rfftfreq(2 * samples, device=drift.device)
    density = torch.zeros_like(omega)
    for variance, time in drifts:
        density += 2 * variance * time / (1 + (omega * time) ** 2)
    mirrored = torch.fft.rfft(torch.cat([drift, drift.flip(-1)], dim=-1))
    found: Tensor = torch.fft.irfft(mirrored * density / (density + noise), n=2 * samples)[..., :samples]
    return found


def _see(spectrum: Tensor, power: Tensor, t: Tensor, octave: slice, waveform: Tensor) -> _Seen:
    noise_power = t[..., 0] ** 2
    expected = (1 - t[..., 0]) ** 2 + noise_power
    total = power[:, :, octave].mean((1, 2)).unsqueeze(1) * expected
    shown = ((total - noise_power) / noise_power).clamp(min=LEAST_SHOWN)
    share = (octave.stop - octave.start) / spectrum.shape[2]
    relative = waveform.square().mean(1, keepdim=True) / (share * expected)
    of_data = (1 + shown) / shown
    # The mean over the window is in `power` already; counted twice, a loud window would make itself louder.
    return _Seen(octave, shown, _centred((relative - 1) * of_data), 2 / (waveform.shape[1] * share) * of_data**2)


def _of_octave(seen: _Seen, common: Tensor) -> Tensor:
    """Relative power of x_t in an octave whose data follow `common` and a drift of their own."""
    shown = seen.shown
    expected = (1 + shown * common) / (1 + shown)
    relative = 1 + seen.drift * shown / (1 + shown)
    own = _centred((relative / expected - 1) * (1 + shown * common) / (shown * common))
    data = common * (1 + smoothed(own, seen.noise, APART)).clamp(min=LEAST)
    return (1 + shown * data) / (1 + shown)


def _centred(drift: Tensor) -> Tensor:
    return drift - drift.mean(-1, keepdim=True)
