"""Whitening by the cross-spectrum of the train split, and its exact inverse.

Windows are taken as if mirrored at both ends. Repeated as they are, they would jump there, and what whitening
amplifies most, the quiet high frequencies, would be a pop at either end. A mirrored signal has a cross-spectrum
without imaginary part (electrodes that lead others do not show), so matrices are real.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-3
"""Smallest eigenvalue that whitening divides by, where electrodes have unit variance: -30 dB.

An average reference makes one eigenvalue zero, and beyond a filter's edge all are: with a floor the inverse exists, and
whatever a network leaves there is scaled down by as much.
"""
SHARE = 512
"""A cross-spectrum is averaged over one frequency in so many on either side: 0.12 Hz of 62.5."""


def cross_spectrum(signal: Tensor) -> Tensor:
    """(B, channels, samples) -> real (samples + 1, channels, channels), summed over windows; 1 for unit white noise."""
    spectrum = torch.fft.rfft(_mirrored(signal), norm="ortho").permute(2, 1, 0)
    summed: Tensor = (spectrum @ spectrum.mH).real
    return summed


def roots(spectrum: Tensor) -> Tensor:
    """Symmetric square roots of a cross-spectrum (bins, channels, channels), smoothed, its eigenvalues floored."""
    reach = len(spectrum) // SHARE
    total = torch.cat([torch.zeros_like(spectrum[:1]), spectrum]).cumsum(0)
    bins = torch.arange(len(spectrum), device=spectrum.device)
    low, high = (bins - reach).clamp(min=0), (bins + reach + 1).clamp(max=len(bins))
    values, vectors = torch.linalg.eigh((total[high] - total[low]) / (high - low)[:, None, None])
    rooted: Tensor = (vectors * values.clamp(min=FLOOR).sqrt().unsqueeze(-2)) @ vectors.mT
    return rooted


def turn(signal: Tensor, matrices: Tensor) -> Tensor:
    """(B, channels, samples), each frequency turned by its matrix, (samples + 1, channels, channels), in their dtype.

    Turned by the inverse matrices, it comes back: a real matrix leaves a mirrored signal mirrored.
    """
    spectrum = torch.fft.rfft(_mirrored(signal.to(matrices.dtype)))
    parts = torch.view_as_real(spectrum).permute(2, 1, 0, 3).flatten(2)
    turned = (matrices @ parts).unflatten(2, (-1, 2)).permute(2, 1, 0, 3).contiguous()
    mirrored: Tensor = torch.fft.irfft(torch.view_as_complex(turned), n=2 * signal.shape[-1])
    return mirrored[..., : signal.shape[-1]].to(signal.dtype)


def _mirrored(signal: Tensor) -> Tensor:
    return torch.cat([signal, signal.flip(-1)], dim=-1)
