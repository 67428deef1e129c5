"""Whether two sets of windows can be compared, and in one sentence why not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sd_core.errors import SdError
from sd_core.judging.samples import Samples
from sd_core.task import MICROVOLTS, SignalInfo, Windows

_LISTED = 8
"""Electrodes named in a sentence."""
_OTHER_SCALE = 1000.0
_UNKNOWN = "unknown"
"""A reference that nobody says."""


def refuse_other_kind(samples: Samples, real: Samples) -> list[str]:
    """Check that a set has the unit, rate, electrodes and length of the reference.

    Returns:
        Sentences about what was taken for granted or put in order.

    Raises:
        SdError: it has not; one sentence with both sides.
    """
    _refuse_unit(samples)
    _refuse_unit(real)
    ours, theirs = samples.info, real.info
    if ours.sfreq != theirs.sfreq:
        raise SdError(
            f"{samples.named} is sampled at {ours.sfreq:g} Hz, {real.named} at {theirs.sfreq:g} Hz: "
            "resample one of them"
        )
    _refuse_electrodes(samples, real)
    if ours.n_samples != theirs.n_samples:
        raise SdError(
            f"{samples.named} has windows of {ours.n_samples} samples, {real.named} of {theirs.n_samples}: "
            "cut them alike"
        )
    return [*_about_unit(samples), *_about_order(samples, real)]


def refuse_other_scale(samples: Samples, windows: Windows, real: Windows) -> None:
    """Check the amplitudes of a set that does not say its unit: MNE keeps volts.

    Raises:
        SdError: they are a thousand times those of the reference or more, or a thousandth or less.
    """
    if samples.unit is not None:
        return
    ours, theirs = (float(np.median(one.signal.std(-1))) for one in (windows, real))
    if not theirs / _OTHER_SCALE < ours < theirs * _OTHER_SCALE:
        raise SdError(
            f"{samples.named} does not say its unit and has a standard deviation of {ours:.2g}, the reference of "
            f"{theirs:.2g} microvolts: convert it to microvolts and say so (unit = '{MICROVOLTS}')"
        )


def electrode_order(info: SignalInfo, like: SignalInfo) -> list[int]:
    """Where each electrode of `like` stands in `info`; names go without their case."""
    places = {name.casefold(): place for place, name in enumerate(info.channel_names)}
    return [places[name.casefold()] for name in like.channel_names]


def _refuse_unit(samples: Samples) -> None:
    if samples.unit not in (None, MICROVOLTS):
        raise SdError(f"{samples.named} is in {samples.unit}, not in microvolts ({MICROVOLTS}): convert it")


def _refuse_electrodes(samples: Samples, real: Samples) -> None:
    ours, theirs = ({name.casefold(): name for name in one.info.channel_names} for one in (samples, real))
    missing = [theirs[key] for key in theirs if key not in ours]
    more = [ours[key] for key in ours if key not in theirs]
    found = [f"{words} {_list(names)}" for words, names in (("lacks", missing), ("has besides", more)) if names]
    if found:
        raise SdError(
            f"{samples.named} has other electrodes than {real.named}: it {' and '.join(found)}; "
            "both must hold the same ones"
        )


def _list(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _about_unit(samples: Samples) -> list[str]:
    return [f"{samples.named} does not say its unit: taken for microvolts"] if samples.unit is None else []


def _about_order(samples: Samples, real: Samples) -> list[str]:
    order = electrode_order(samples.info, real.info)
    if order == list(range(len(order))):
        return []
    return [f"the electrodes of {samples.named} were put into the order of {real.named}"]


def about_references(sets: Mapping[str, SignalInfo]) -> list[str]:
    """A sentence where sets are not referenced alike: it changes every spectrum and covariance.

    Args:
        sets: By what they are called ("held-out"); those that do not say their reference are taken to fit the others.
    """
    known = {name: info.reference for name, info in sets.items() if info.reference != _UNKNOWN}
    if len(set(known.values())) < 2:
        return []
    told = ", ".join(f"{name} windows to {reference}" for name, reference in known.items())
    rest = [name for name in sets if name not in known]
    silent = f"; {' and '.join(rest)} windows do not say it" if rest else ""
    return [f"The sets are not referenced alike, and scores see that: {told}{silent}."]
