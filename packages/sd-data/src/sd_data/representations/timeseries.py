"""The waveform as it is: electrodes as height, time as width."""

from __future__ import annotations

import torch
from torch import Tensor

from sd_core.plugin import GridShape, SdError, SignalInfo, WindowSource
from sd_data.representations.fitting import Fitted, train_batches
from sd_data.representations.options import TimeseriesOptions
from sd_data.representations.pictures import draw_traces
from sd_data.representations.preemphasis import deemphasise, emphasise
from sd_data.representations.whitening import cross_spectrum, roots, turn

FLOOR = 1e-3
"""Smallest eigenvalue that whitening divides by, as a share of the largest.

An average reference makes one eigenvalue zero; with a floor the matrix keeps its inverse.
"""


class TimeSeries(Fitted):
    """Electrodes divided by their standard deviation over the train split; an exact inverse.

    Not over the window: that would erase amplitude, alpha power and age. Order: mean of the train split
    away, pre-emphasis, standard deviation, whitening (symmetric, so that a row remains "its" electrode),
    clip. The mean of the window stays.

    Shape (1, channels, samples). decode(encode(x)) differs from x by at most `tolerance` (relative
    to the window's rms) in windows where nothing was clipped.
    """

    parts = 1
    exact = True
    tolerance = 1e-5

    mean: Tensor
    """(channels, 1), microvolts."""
    amplitude: Tensor
    """(channels, 1): standard deviation of the waveform, microvolts."""
    sd: Tensor
    """(channels, 1): standard deviation after pre-emphasis, microvolts."""
    whitener: Tensor
    """(channels, channels), float64."""
    colourer: Tensor
    """The inverse of `whitener`."""
    root: Tensor
    """(samples + 1, channels, channels): square roots of the cross-spectrum."""

    def __init__(self, options: TimeseriesOptions, signal: SignalInfo) -> None:
        super().__init__()
        self.options = options
        self.signal = signal
        channels = signal.n_channels
        self.shape = GridShape(1, channels, signal.n_samples)
        for name in ("mean", "amplitude", "sd"):
            self.statistic(name, channels, 1)
        for name in ("whitener", "colourer"):
            self.register_buffer(name, torch.full((channels, channels), torch.nan, dtype=torch.float64))
        if options.spectral_whitening:
            self.statistic("root", signal.n_samples + 1, channels, channels)
        self._inverse: tuple[tuple[int, torch.device], Tensor] | None = None
        self.clipped_share = torch.zeros(())
        """Share of the samples that the last `encode` clipped."""

    def fit(self, train: WindowSource) -> None:
        """Take mean, standard deviations and covariance, in float64.

        Raises:
            SdError: an electrode is flat; see also `train_batches`.
        """
        channels = self.signal.n_channels
        total, squares = torch.zeros(2, channels, dtype=torch.float64)
        emphasised = torch.zeros(channels, dtype=torch.float64)
        products = torch.zeros(channels, channels, dtype=torch.float64)
        windows = 0
        for batch in train_batches(train, self.signal):
            x = batch.double()
            y = emphasise(x, self.options.pre_emphasis)[..., 1:]
            windows += len(x)
            total += x.sum((0, 2))
            squares += x.square().sum((0, 2))
            emphasised += y.sum((0, 2))
            products += torch.einsum("bct,bdt->cd", y, y)
        mean = total / (windows * self.signal.n_samples)
        amplitude = (squares / (windows * self.signal.n_samples) - mean.square()).clamp(min=0).sqrt()
        steps = windows * (self.signal.n_samples - 1)
        covariance = products / steps - torch.outer(emphasised, emphasised) / steps**2
        self._settle(mean, amplitude, covariance)
        if self.options.spectral_whitening:
            self.settle(root=self._roots(train))

    def encode(self, signal: Tensor, part: Tensor | None = None) -> Tensor:
        """(B, channels, samples) microvolts -> (B, 1, channels, samples); `part` must be None or zeros."""
        self.require_fit()
        assert part is None or part.shape == signal.shape[:1], "a window has one part here"
        y = emphasise(signal.float() - self.mean, self.options.pre_emphasis) / self.sd
        if self.options.spatial_whitening:
            y = (self.whitener @ y.double()).float()
        if self.options.spectral_whitening:
            y = turn(y, self._unroot())
        most = self.options.clip
        self.clipped_share = (y.detach().abs() > most).float().mean()
        return y.clamp(-most, most).unsqueeze(1)

    def decode(self, x: Tensor) -> Tensor:
        """(B, 1, channels, samples) -> (B, channels, samples) microvolts."""
        self.require_fit()
        y = x.float().squeeze(1)
        if self.options.spatial_whitening:
            y = (self.colourer @ y.double()).float()
        if self.options.spectral_whitening:
            y = turn(y, self.root.double())
        return deemphasise(y * self.sd, self.options.pre_emphasis) + self.mean

    @torch.no_grad()
    def picture(self, x: Tensor) -> Tensor:
        """(B, 1, channels, samples) -> (B, 3, H, W): the first seconds, in standard deviations."""
        return draw_traces((self.decode(x) - self.mean) / self.amplitude, self.signal.sfreq)

    def _unroot(self) -> Tensor:
        """The inverse of `root`, kept until its values or its device change: it takes longer than a window."""
        state = (self.root._version, self.root.device)
        if self._inverse is None or self._inverse[0] != state:
            self._inverse = (state, torch.linalg.inv(self.root.double()))
        return self._inverse[1]

    def _roots(self, train: WindowSource) -> Tensor:
        windows, products = 0, torch.zeros(1)
        for batch in train_batches(train, self.signal):
            y = emphasise(batch.double() - self.mean, self.options.pre_emphasis) / self.sd
            windows, products = windows + len(y), products + cross_spectrum(y)
        return roots(products / windows)

    def _settle(self, mean: Tensor, amplitude: Tensor, covariance: Tensor) -> None:
        sd = covariance.diagonal().sqrt()
        flat = [name for name, value in zip(self.signal.channel_names, sd.tolist(), strict=True) if not value > 0]
        if flat:
            raise SdError(f"electrode {flat[0]} is flat in the train split; leave it out when building the dataset")
        values, vectors = torch.linalg.eigh(covariance / torch.outer(sd, sd))
        root = values.clamp(min=FLOOR * float(values[-1])).sqrt()
        self.settle(
            mean=mean[:, None],
            amplitude=amplitude[:, None],
            sd=sd[:, None],
            whitener=(vectors / root) @ vectors.mT,
            colourer=(vectors * root) @ vectors.mT,
        )
