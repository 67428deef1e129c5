"""What the three spectrograms share: levels in dB, statistics per frequency, layouts, decoding."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from sd_core.plugin import SignalInfo, WindowSource
from sd_data.representations.fitting import Fitted, train_batches
from sd_data.representations.layout import LAYOUTS
from sd_data.representations.options import SpectrogramOptions
from sd_data.representations.pictures import colour, mosaic
from sd_data.representations.stft import ShortTimeFourier

FLOOR_POWER = 0.1
"""uV^2 added to the power before the logarithm: takes the skew of quiet bins and tames the notch."""
FLOOR_SD = 2.0
"""dB. Bins above the filter's edge hardly vary; dividing by less would blow their residue up."""
FLOOR_RMS = 0.1
"""uV, for the same reason."""
CLIP = 4.0
"""Standard deviations at which levels are clipped."""
AT_CLIP = CLIP - 1e-3
TINY = 1e-12
"""uV^2: keeps the gradients of roots finite at silence."""


class Spectrogram(Fitted):
    """Time and frequency of every electrode; the first plane is the level in dB.

    Level 10 log10(|S|^2 + 0.1 uV^2), standardised per frequency with mean and standard deviation over all
    electrodes of the train split, clipped at 4. The mean of the window is taken away and not restored.
    """

    exact = True
    planes = 1
    """Planes of an electrode."""

    level_mean: Tensor
    """(height, 1), dB."""
    level_sd: Tensor
    """(height, 1), dB, at least 2."""
    rms: Tensor
    """(height, 1), uV, at least 0.1."""

    def __init__(self, options: SpectrogramOptions, signal: SignalInfo) -> None:
        super().__init__()
        self.options = options
        self.signal = signal
        self.transform = ShortTimeFourier(signal, options.n_fft, options.hop)
        self.layout = LAYOUTS[options.layout](signal.n_channels, self.planes)
        self.parts = self.layout.parts
        self.shape = self.layout.shape(self.transform.height, self.transform.width)
        for name in ("level_mean", "level_sd", "rms"):
            self.statistic(name, self.transform.height, 1)

    def fit(self, train: WindowSource) -> None:
        """Take moments per frequency over the electrodes, frames and windows of the train split.

        Raises:
            SdError: see `train_batches`.
        """
        sums: dict[str, Tensor] = {}
        windows = 0
        for batch in train_batches(train, self.signal):
            power = _power(self._analyse(batch.to(self.rms.device)))
            windows += len(batch)
            for name, values in self._moments(power).items():
                mean = values.mean((1, 3), dtype=torch.float64).sum(0)
                sums[name] = sums[name] + mean if name in sums else mean
        self._settle({name: (total / windows)[:, None] for name, total in sums.items()})

    def encode(self, signal: Tensor, part: Tensor | None = None) -> Tensor:
        """(B, channels, samples) microvolts -> (B * parts, *shape), or (B, *shape) with `part` (B,)."""
        self.require_fit()
        spectrum = self._analyse(self.layout.select(signal, part))
        packed: Tensor = self.layout.pack(self._planes(spectrum, self._level(_power(spectrum))))
        return packed

    def decode(self, x: Tensor) -> Tensor:
        """(B * parts, *shape) -> (B, channels, samples) microvolts, without mean."""
        signal = self.transform.invert(self.spectrum(x))
        return signal - signal.mean(-1, keepdim=True)

    def spectrum(self, x: Tensor) -> Tensor:
        """(B * parts, *shape) -> complex (B, channels, height, width), microvolts."""
        self.require_fit()
        return self._spectrum(self.layout.unpack(x.float()))

    def consistency(self, x: Tensor) -> Tensor:
        """(B * parts, *shape) -> (B,): ||STFT(iSTFT(S)) - S|| / ||S||; 0 if S is the spectrum of some signal."""
        return self.transform.inconsistency(self.spectrum(x))

    @torch.no_grad()
    def picture(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, 3, H, W): the levels of all electrodes of the example, low frequencies at the bottom."""
        level = x.float()[:, :: self.planes].flip(-2)
        return mosaic(colour((level + 3) / 6))

    def _analyse(self, signal: Tensor) -> Tensor:
        signal = signal.float()
        return self.transform.analyse(signal - signal.mean(-1, keepdim=True))

    def _level(self, power: Tensor) -> Tensor:
        return ((_decibel(power) - self.level_mean) / self.level_sd).clamp(-CLIP, CLIP)

    def _magnitude(self, level: Tensor) -> Tensor:
        """Standardised level -> |S| in uV."""
        decibel = level.clamp(-CLIP, CLIP) * self.level_sd + self.level_mean
        return (10 ** (decibel / 10) - FLOOR_POWER).clamp(min=TINY).sqrt()

    def _moments(self, power: Tensor) -> dict[str, Tensor]:
        """Quantities (b, channels, height, width) whose means per frequency `_settle` needs."""
        level = _decibel(power)
        return {"level": level, "level_squared": level.square(), "power": power}

    def _settle(self, means: dict[str, Tensor]) -> None:
        variance = (means["level_squared"] - means["level"].square()).clamp(min=0)
        self.settle(
            level_mean=means["level"],
            level_sd=variance.sqrt().clamp(min=FLOOR_SD),
            rms=means["power"].sqrt().clamp(min=FLOOR_RMS),
        )

    @abstractmethod
    def _planes(self, spectrum: Tensor, level: Tensor) -> Tensor:
        """Complex (B, e, H, W) and its standardised level -> (B, e, planes, H, W)."""

    @abstractmethod
    def _spectrum(self, planes: Tensor) -> Tensor:
        """(B, e, planes, H, W) -> complex (B, e, H, W)."""


def real_at_zero(phasor: Tensor) -> Tensor:
    """Phasors (..., H, W) with the row of frequency 0 set to +1 or -1: a real signal has no other phase there."""
    sign = torch.where(phasor.real[..., :1, :] < 0, -1.0, 1.0)
    return torch.cat([torch.complex(sign, torch.zeros_like(sign)), phasor[..., 1:, :]], dim=-2)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _decibel(power: Tensor) -> Tensor:
    return 10 * torch.log10(power + FLOOR_POWER)
