"""Options of the representations, `[data.extras]`. No torch: reading a config stays cheap."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sd_core.plugin import Options


class TimeseriesOptions(Options):
    """The waveform itself."""

    pre_emphasis: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Learn y[n] = x[n] - pre_emphasis x[n-1]; 0.9 flattens the 1/f spectrum of EEG, 0 leaves the waveform."""
    spatial_whitening: bool = False
    """Turn the covariance of the electrodes, taken over the train split, to the identity."""
    spectral_whitening: bool = False
    """The same at every frequency: spectrum and cross-spectrum of the train split become those of white noise, so that
    a network learns only what windows have beyond them. Takes the place of both others."""
    clip: Annotated[float, Field(gt=0)] = 8.0
    """Standard deviations beyond which a sample is clipped: electrode pops, which a network should not chase. inf
    clips nothing."""

    @model_validator(mode="after")
    def _whiten_once(self) -> Self:
        if self.spectral_whitening and (self.spatial_whitening or self.pre_emphasis):
            raise ValueError("spectral_whitening does what spatial_whitening and pre_emphasis do; choose it or them")
        return self


class SpectrogramOptions(Options):
    """What every spectrogram is told."""

    layout: Literal["stack", "electrode"] = "stack"
    """"stack" learns all electrodes of a window jointly, "electrode" each electrode as an example of its own."""
    n_fft: Annotated[int, Field(ge=4, multiple_of=2)] = 128
    """Samples under the window of the transform; n_fft / 2 is the height."""
    hop: Annotated[int, Field(ge=1)] = 32
    """Samples between frames; the number of samples over it is the width."""


class DbOnlyOptions(SpectrogramOptions):
    """Magnitudes without phases."""

    griffin_lim_iterations: Annotated[int, Field(ge=1)] = 32
    """Iterations of the fast Griffin-Lim algorithm that invents the phases when decoding."""
