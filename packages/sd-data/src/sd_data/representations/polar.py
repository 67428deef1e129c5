"""`db-polar`: level, magnitude and phase."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sd_core.plugin import SignalInfo
from sd_data.representations.options import SpectrogramOptions
from sd_data.representations.spectrogram import AT_CLIP, TINY, Spectrogram, real_at_zero

EXPONENT = 0.3
"""Compression of the magnitude."""
PHASE = math.sqrt(3) / math.pi
"""Of a uniform phase psi, psi / pi has variance 1/3; this factor gives it variance 1."""


class DbPolar(Spectrogram):
    """Three planes per electrode: level, standardised (|S|/rms)^0.3, phase psi sqrt(3)/pi; an exact inverse.

    psi = wrap(arg S - 2 pi k t hop/n_fft): a steady rhythm in the middle of bin k has a constant psi. Decoding
    takes psi as it is (integrating its differences would sum up their noise), and the magnitude from
    the level, except where that is at its clip.
    """

    planes = 3
    tolerance = 1e-2
    """Relative error of decode(encode(x)), 40 dB; the dropped Nyquist row makes most of it."""

    root_mean: Tensor
    """(height, 1): mean of (|S|/rms)^0.3."""
    root_sd: Tensor
    """(height, 1): its standard deviation."""
    carrier: Tensor
    """exp(2 pi i k t hop / n_fft), complex (height, width)."""

    def __init__(self, options: SpectrogramOptions, signal: SignalInfo) -> None:
        super().__init__(options, signal)
        self.statistic("root_mean", self.transform.height, 1)
        self.statistic("root_sd", self.transform.height, 1)
        k, t = torch.arange(self.transform.height)[:, None], torch.arange(self.transform.width)
        turns = (k * t * options.hop % options.n_fft).double() / options.n_fft
        carrier = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
        self.register_buffer("carrier", carrier.to(torch.complex64), persistent=False)

    def _moments(self, power: Tensor) -> dict[str, Tensor]:
        root = power ** (EXPONENT / 2)
        return {**super()._moments(power), "root": root, "root_squared": root.square()}

    def _settle(self, means: dict[str, Tensor]) -> None:
        super()._settle(means)
        unit = self.rms.double() ** EXPONENT
        variance = (means["root_squared"] - means["root"].square()).clamp(min=0)
        self.settle(root_mean=means["root"] / unit, root_sd=(variance.sqrt() / unit).clamp(min=0.05))

    def _planes(self, spectrum: Tensor, level: Tensor) -> Tensor:
        power = spectrum.real.square() + spectrum.imag.square() + TINY
        root = (power ** (EXPONENT / 2) / self.rms**EXPONENT - self.root_mean) / self.root_sd
        psi = torch.angle(spectrum * self.carrier.conj())
        # At frequency 0 the phase is 0 or pi; without abs the sign of a zero would make that -pi at random.
        psi = torch.cat([psi[..., :1, :].abs(), psi[..., 1:, :]], dim=-2)
        return torch.stack([level, root, psi * PHASE], dim=2)

    def _spectrum(self, planes: Tensor) -> Tensor:
        level, root, phase = planes.unbind(2)
        base = (root * self.root_sd + self.root_mean).clamp(min=0)
        from_root = base ** (1 / EXPONENT) * self.rms
        magnitude = torch.where(level.abs() >= AT_CLIP, from_root, self._magnitude(level))
        psi = phase / PHASE
        phasor = torch.complex(psi.cos(), psi.sin()) * self.carrier
        return magnitude * real_at_zero(phasor)
