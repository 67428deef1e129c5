"""Options of the corpora of any lab's recordings. No torch and no MNE: read by commands that must start fast."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sd_core.plugin import Options
from sd_data.options import RecordingOptions

TABLE_COLUMNS = ("file", "subject", "session", "state", "gender", "health", "age", "caption")
"""What a table of recordings may say."""
Map = dict[str, str]


class LabelledOptions(RecordingOptions):
    """What corpora with a table of their own are told in addition: what its columns and cells mean."""

    corpus: str = ""
    """Name of the corpus in the dataset; empty takes the folder's."""
    license: str = ""
    """Under which the recordings are given out, such as "CC0"; `windows.json` and reports say it. Empty: not known."""
    columns: Map = Field(default_factory=dict)
    """Our name of a column -> the table's, where they differ, such as {gender="Sex"}."""
    values: dict[str, Map] = Field(default_factory=dict)
    """Our name of a column -> what its cells say -> what that means; "" for missing. Such as
    {health={"HC"="H", "Parkinson"="PD"}}. A cell that a map does not name is refused."""

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        for option in ("columns", "values"):
            unknown = [name for name in getattr(self, option) if name not in TABLE_COLUMNS]
            if unknown:
                raise ValueError(f"{option} names {', '.join(unknown)}; it may name: {', '.join(TABLE_COLUMNS)}")
        return self


class FilesOptions(LabelledOptions):
    """A folder of files that MNE reads, and a table of them."""

    table: str = "recordings.csv"
    """The table, in the folder or elsewhere: one row a file, columns `file` and `subject`, and any of session, state,
    gender (F or M), health (H for healthy), age (years) and caption."""
    ignore: tuple[str, ...] = ()
    """Columns of the table that are meant for others."""


class BidsOptions(LabelledOptions):
    """A folder in the Brain Imaging Data Structure."""

    license: str = ""
    """Under which the recordings are given out, such as "CC0"; empty takes what `dataset_description.json` says."""
    tasks: tuple[str, ...] = ()
    """Only recordings of these tasks; empty takes all. A recording's task is its state."""
    line_from_sidecar: bool = True
    """Take the notch from `PowerLineFrequency` where the folder says it, and from `notch_hz` elsewhere."""


class SeedvOptions(RecordingOptions):
    """SEED-V (Liu et al. 2021): 16 people, 3 sessions of 15 film clips, 5 emotions."""


class MetaOptions(Options):
    """Several window datasets as one."""

    parts: Annotated[tuple[str, ...], Field(min_length=1)]
    """Folders of window datasets of one sampling rate, length of window and reference."""
    channels: tuple[str, ...] = ()
    """Electrodes in order, or one named set such as "1020-19"; empty takes the first part's."""
    label_from: Literal["state", "gender", "health", "corpus"] = "state"
    """Column that becomes the class label."""
