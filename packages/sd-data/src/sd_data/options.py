"""Options of the corpora. No torch and no MNE: read by commands that must start fast."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sd_core.plugin import Options

Share = Annotated[float, Field(ge=0, le=1)]
Hertz = Annotated[float, Field(ge=0)]


class CorpusOptions(Options):
    """What every corpus is told: geometry, cleaning, split, labels."""

    channels: tuple[str, ...] = ()
    """Electrodes in order, or one named set such as "1020-19"; empty takes the corpus's own."""
    sfreq: Annotated[float, Field(ge=90)] = 125.0
    """Sampling rate of the windows in Hz; recordings at another rate are resampled."""
    window_s: Annotated[float, Field(gt=0)] = 16.384
    """Length of a window in seconds."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a window that the next one repeats, in the train split; held-out windows never overlap."""
    low_hz: Hertz = 0.5
    """Lower edge of the band-pass; 0 leaves it out."""
    high_hz: Hertz = 45.0
    """Upper edge of the band-pass; 0 leaves it out."""
    notch_hz: Hertz = 50.0
    """Frequency of the power line; 0 leaves the notch out."""
    reference: Literal["average", "original"] = "average"
    """"average" subtracts the mean of all scalp electrodes of the recording; "original" keeps the recording's."""
    flat_uv: Annotated[float, Field(ge=0)] = 0.5
    """A channel with a smaller standard deviation, in microvolts, is flat."""
    peak_uv: Annotated[float, Field(ge=0)] = 250.0
    """A window that reaches this many microvolts is rejected; 0 rejects none."""
    split: tuple[Share, Share, Share] = (0.7, 0.15, 0.15)
    """Shares of the subjects in train, validation and test; 0 leaves a split out."""
    split_seed: int = 0
    """Which subjects go where."""
    label_from: Literal["state", "gender", "health"] = "state"
    """Column that becomes the class label."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if abs(sum(self.split) - 1) > 1e-6:
            raise ValueError(f"the shares of split must add up to 1, not {sum(self.split):g}")
        if self.high_hz and self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz ({self.low_hz:g}) must be below high_hz ({self.high_hz:g})")
        if self.high_hz >= self.sfreq / 2:
            raise ValueError(f"high_hz ({self.high_hz:g}) must be below half of sfreq ({self.sfreq:g})")
        return self

    @property
    def n_samples(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.sfreq)


class RecordingOptions(CorpusOptions):
    """What corpora of recorded files are told in addition."""

    source: str = ""
    """Folder of the recordings."""
    names: dict[str, str] = Field(default_factory=dict)
    """What recordings call a channel -> the electrode that it is, such as {E22="Fp1"}; others keep their names."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Multiplies the samples of all recordings, where headers say a wrong unit: 0.001 where they say mV for uV."""
    interpolate: bool = False
    """Compute electrodes that are missing or marked as bad from the others, by spherical splines."""
    skip_bad: bool = False
    """Leave out recordings that cannot be used, and count them, instead of stopping."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Processes that read and clean recordings; the result does not depend on it."""


class EegmatOptions(RecordingOptions):
    """PhysioNet "EEG During Mental Arithmetic Tasks" 1.0.0."""


class DemoOptions(CorpusOptions):
    """Generated EEG."""

    subjects: Annotated[int, Field(ge=1)] = 48
    """How many; subject i is the same whatever their number."""
    windows_per_state: Annotated[int, Field(ge=1)] = 4
    """Windows of each subject at rest, and as many under mental arithmetic."""
    effect_scale: Annotated[float, Field(ge=0)] = 1.0
    """Multiplies the effects of age, sex, health and state; 1 is realistic, 0 makes labels mean nothing."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random in subject i follows from (seed, i)."""
