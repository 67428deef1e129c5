"""`db-only`: magnitudes; the waveform is synthesised."""

from __future__ import annotations

from torch import Tensor

from sd_core.plugin import SignalInfo
from sd_data.representations.griffin_lim import griffin_lim
from sd_data.representations.options import DbOnlyOptions
from sd_data.representations.spectrogram import Spectrogram


class DbOnly(Spectrogram):
    """One plane per electrode: the level in dB. Phases are invented in decode (Griffin-Lim), so not exact."""

    exact = False
    planes = 1

    def __init__(self, options: DbOnlyOptions, signal: SignalInfo) -> None:
        super().__init__(options, signal)
        self.iterations = options.griffin_lim_iterations

    def _planes(self, spectrum: Tensor, level: Tensor) -> Tensor:  # noqa: ARG002 - phases are not kept
        return level.unsqueeze(2)

    def _spectrum(self, planes: Tensor) -> Tensor:
        return griffin_lim(self._magnitude(planes[:, :, 0]), self.transform, self.iterations)
