"""Windows in MNE's terms: channels, positions, marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError, SignalInfo
from sd_data.build.electrodes import canonical
from sd_data.export.marking import statement

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
"""Units of potentials, in volts, MNE's unit."""
TEMPLATES = ("colin27_1005", "standard_1005")
"""Positions of electrodes known by name, on an average head: the same file by its name since MNE 1.13 and before."""


def measurement(info: SignalInfo, provenance: Mapping[str, Any]) -> mne.Info:
    """The header of generated windows: names, rate, positions, and that nobody was recorded.

    Electrodes that the 10-05 system does not know, such as A2-A1, have no position. Channels that are no potentials,
    or of an unknown unit, are of MNE's kind "misc": it takes those of kind "eeg" for volts.
    """
    kind = "eeg" if info.unit in VOLTS else "misc"
    header = mne.create_info(list(info.channel_names), info.sfreq, kind, verbose="error")
    header["description"] = statement(provenance)
    header["subject_info"] = {"his_id": "synthetic"}
    positions = montage(info.channel_names)
    if positions is not None:
        header.set_montage(positions, on_missing="ignore", verbose="error")
    return header


def montage(channel_names: tuple[str, ...]) -> mne.channels.DigMontage | None:
    """Template positions of the channels whose names are known, under their own names; None where none is."""
    there = mne.channels.get_builtin_montages()
    template = next(name for name in TEMPLATES if name in there)
    known = mne.channels.make_standard_montage(template).get_positions()
    places = {canonical(name): place for name, place in known["ch_pos"].items()}
    found = {name: places[canonical(name)] for name in channel_names if canonical(name) in places}
    if not found:
        return None
    fiducials = {name: known[name] for name in ("nasion", "lpa", "rpa")}
    return mne.channels.make_dig_montage(found, coord_frame=known["coord_frame"], **fiducials)


def refuse_no_potentials(info: SignalInfo, whose: str) -> None:
    """Check that the unit of windows is one of potentials; `whose` is the format that holds nothing else.

    Raises:
        SdError: it is another one, or not known.
    """
    if info.unit not in VOLTS:
        unit = f"are in {info.unit}" if info.unit else "have no unit that is known"
        raise SdError(f"{whose} holds EEG in volts, and these windows {unit}: use --to fif")


def in_volts(signal: NDArray[np.float32], unit: str) -> NDArray[np.float64]:
    """In double precision; what is no potential keeps its numbers."""
    return np.asarray(signal.astype(np.float64) * VOLTS.get(unit, 1.0))
