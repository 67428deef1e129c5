"""MNE epochs: `mne.read_epochs("generated-epo.fif")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from sd_core.plugin import NoOptions, Windows, disk_errors
from sd_data.export.marking import states
from sd_data.export.measurement import in_volts, measurement

NAME = "generated-epo.fif"


class Fif:
    """One `EpochsArray` in single precision, with a template montage and the labels as `metadata`.

    `info["description"]` says that the windows are synthetic and where they come from; every event is
    named "synthetic", with the state or class that was asked for behind it. Channels that are no potentials, or of
    an unknown unit, are of kind "misc" and keep their numbers.
    """

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, windows: Windows, out: Path, provenance: Mapping[str, Any]) -> Sequence[Path]:
        """Write into folder `out`, replacing the file of an earlier call; large sets are split as MNE does.

        Raises:
            SdError: the folder cannot be written.
        """
        epochs = epochs_of(windows, provenance)
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            written = epochs.save(out / NAME, fmt="single", overwrite=True, verbose="error")
        return [Path(path) for path in written]


def epochs_of(windows: Windows, provenance: Mapping[str, Any]) -> mne.EpochsArray:
    """The windows as epochs that begin at time 0."""
    names = _event_names(windows)
    event_id = {name: code for code, name in enumerate(sorted(set(names)), start=1)}
    onsets = np.arange(len(windows)) * windows.info.n_samples
    events = np.stack([onsets, np.zeros_like(onsets), [event_id[name] for name in names]], axis=1)
    epochs = mne.EpochsArray(
        in_volts(windows.signal, windows.info.unit),
        measurement(windows.info, provenance),
        events=events,
        event_id=event_id,
        baseline=None,
        metadata=pd.DataFrame({"synthetic": [True] * len(windows), **windows.columns}),
        verbose="error",
    )
    if windows.info.reference == "average" and "eeg" in epochs:
        epochs.set_eeg_reference([], verbose="error")  # changes no number: says that a reference is there
    return epochs


def _event_names(windows: Windows) -> list[str]:
    """One of each window: bare where neither a state nor a class was asked for."""
    return [
        "synthetic" if value is None else f"synthetic/{value}".replace(";", ",")  # FIF separates names by semicolons
        for value in states(windows)
    ]
