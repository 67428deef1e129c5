"""Electrodes that were not recorded, or badly, from those that were: spherical splines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError
from sd_data.build.electrodes import canonical, is_scalp, standard_montage
from sd_data.build.recordings import Signals

_FEWEST = 8
"""Electrodes; with fewer, a spline says little about what lies between them."""
_FLAT_UV = 0.5


def interpolated(signals: Signals, missing: Sequence[str], where: str) -> NDArray[np.float64]:
    """What the missing electrodes would have recorded (Perrin et al. 1989, doi:10.1016/0013-4694(89)90180-6).

    Electrodes that are marked as bad, flat or not finite do not take part.

    Args:
        signals: A recording.
        missing: Names of electrodes on the scalp.
        where: The recording, for messages.

    Returns:
        (missing, samples), microvolts.

    Raises:
        SdError: an electrode has no place on the scalp, or too few others are there.
    """
    known = {canonical(name): name for name in reversed(standard_montage().ch_names)}
    homeless = [name for name in missing if not is_scalp(name) or canonical(name) not in known]
    if homeless:
        raise SdError(f"{where} lacks {', '.join(homeless)}, which cannot be interpolated: no place on the scalp")
    left_out = {canonical(name) for name in (*missing, *signals.bad_names)}
    places = {canonical(name): place for place, name in reversed(list(enumerate(signals.names)))}
    sources = [
        (name, place)
        for name, place in places.items()
        if name not in left_out and is_scalp(name) and name in known and _alive(signals.data[place])
    ]
    if len(sources) < _FEWEST:
        raise SdError(
            f"{where} has {len(sources)} electrodes to interpolate {', '.join(missing)} from; {_FEWEST} are needed"
        )
    weights = spline_weights(
        tuple(known[name] for name, _ in sources), tuple(known[canonical(name)] for name in missing)
    )
    return weights @ signals.data[[place for _, place in sources]]


@lru_cache(maxsize=256)
def spline_weights(present: tuple[str, ...], missing: tuple[str, ...]) -> NDArray[np.float64]:
    """Weights (missing, present) of MNE's spherical splines, named as the 10-5 montage names them.

    Interpolation is linear: what it makes of unit vectors is its matrix.
    """
    import mne

    info = mne.create_info([*present, *missing], 1.0, "eeg")
    info.set_montage(standard_montage())
    info["bads"] = list(missing)
    units = np.vstack([np.eye(len(present)), np.zeros((len(missing), len(present)))])
    evoked = mne.EvokedArray(units, info, verbose="error").interpolate_bads(verbose="error")
    return np.asarray(evoked.data[len(present) :])


def _alive(row: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(row).all() and row.std() >= _FLAT_UV)
