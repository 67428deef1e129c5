"""The short-time Fourier transform and its inverse, on a grid without Nyquist row."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sd_core.plugin import SdError, SignalInfo


class ShortTimeFourier(nn.Module):
    """Periodic Hann window, centred frames, zero padding; divided by sqrt(sum w^2), so in microvolts.

    Frequencies 0 .. n_fft/2 - 1 (the Nyquist row is dropped: filtered EEG has nearly nothing there) and
    frames 0 .. n_samples/hop - 1 (the last one, centred on the end, sees nothing that others do not):
    64 x 64 from 2048 samples with n_fft 128 and hop 32.

    Raises:
        SdError: the windows do not divide into frames, or the frames overlap by less than three quarters.
    """

    window: Tensor
    """(n_fft,)."""
    gain: Tensor
    """(n_samples / 2 + 1,): what is left of each frequency of a signal without the Nyquist row."""

    def __init__(self, signal: SignalInfo, n_fft: int, hop: int) -> None:
        super().__init__()
        if signal.n_samples % hop or signal.n_samples < n_fft:
            raise SdError(
                f"the dataset has windows of {signal.n_samples} samples, but a spectrogram with n_fft = {n_fft} and "
                f"hop = {hop} needs at least {n_fft} and a multiple of {hop}: change [data.extras] n_fft or hop, "
                "or build the dataset with another window length"
            )
        if 4 * hop > n_fft:
            raise SdError(
                f"hop = {hop} is too coarse to invert a spectrogram with n_fft = {n_fft}: "
                f"set [data.extras] hop to {n_fft // 4} or less"
            )
        self.n_fft, self.hop, self.n_samples = n_fft, hop, signal.n_samples
        self.height, self.width = n_fft // 2, signal.n_samples // hop
        self.norm = math.sqrt(3 * n_fft / 8)  # sqrt(sum w^2) of a periodic Hann window
        window = torch.hann_window(n_fft, dtype=torch.float64)
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("gain", _gain_without_nyquist(window, signal.n_samples).float(), persistent=False)

    def analyse(self, signal: Tensor) -> Tensor:
        """(..., samples) -> complex (..., height, width)."""
        spectrum = torch.stft(
            signal.flatten(0, -2).float(),
            self.n_fft,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        kept = spectrum[:, : self.height, : self.width] / self.norm
        return kept.reshape(*signal.shape[:-1], self.height, self.width)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        """Complex (..., height, width) -> (..., samples).

        The least-squares inverse with a Nyquist row of zeros (Griffin & Lim 1984, equation 6), then the
        frequencies beside Nyquist are lifted by what that row took from them. Electrode pops reach up there:
        the worst window of eegmat comes back at 49 dB instead of 36. What is left stands at both ends.
        """
        rows = torch.nn.functional.pad(spectrum.flatten(0, -3) * self.norm, (0, 0, 0, 1))
        signal = torch.istft(rows, self.n_fft, self.hop, window=self.window, center=True, length=self.n_samples)
        lifted: Tensor = torch.fft.irfft(torch.fft.rfft(signal) / self.gain, self.n_samples)
        return lifted.reshape(*spectrum.shape[:-2], self.n_samples)

    def invert(self, spectrum: Tensor) -> Tensor:
        """`synthesise`, and once more for the part of the spectrum that came out wrong: 10 dB nearer."""
        signal = self.synthesise(spectrum)
        return signal + self.synthesise(spectrum - self.analyse(signal))

    def inconsistency(self, spectrum: Tensor) -> Tensor:
        """||STFT(iSTFT(S)) - S|| / ||S|| of S (B, channels, height, width): (B,), 0 for the S of a signal."""
        error = self.analyse(self.synthesise(spectrum)) - spectrum
        whole = (1, 2, 3)
        ratio: Tensor = torch.linalg.vector_norm(error, dim=whole) / torch.linalg.vector_norm(spectrum, dim=whole)
        return ratio


def _gain_without_nyquist(window: Tensor, n_samples: int) -> Tensor:
    """1 - |W(f - f_Nyquist)|^2 / (n_fft sum w^2) on the n_samples / 2 + 1 frequencies of a whole signal.

    With frames that overlap by three quarters, analysis followed by synthesis is a filter, and this is
    the share of its gain that rows other than Nyquist have; 1/3 at Nyquist, 1 from two rows below.
    """
    distance = torch.arange(n_samples // 2 + 1, dtype=torch.float64) / n_samples - 0.5
    turns = distance[:, None] * torch.arange(len(window), dtype=torch.float64)
    response = torch.polar(window.expand_as(turns), -2 * math.pi * turns).sum(1)
    return 1 - response.abs().square() / (len(window) * window.square().sum())
