"""Where the electrodes of the demo corpus sit, and how far sources reach."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError
from sd_data.build.electrodes import standard_montage

Floats = NDArray[np.float64]


def directions(names: Sequence[str]) -> Floats:
    """Unit vectors (n, 3) of electrodes of the 10-5 montage that MNE carries (the Colin27 head).

    Raises:
        SdError: an electrode is not in the montage.
    """
    known = _montage()
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise SdError(
            f"corpus 'demo' cannot place the electrodes {', '.join(unknown)}: name electrodes of the 10-5 system"
        )
    places = np.array([known[name.lower()] for name in names])
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))


def reach(electrodes: Floats, sources: Floats, degrees: float) -> Floats:
    """Lead field (electrodes, sources): a Gaussian of the angle between them, with this width."""
    angle = np.arccos(np.clip(electrodes @ sources.T, -1, 1))
    return np.asarray(np.exp(-(angle**2) / (2 * np.deg2rad(degrees) ** 2)))


@cache
def background_sources(count: int = 60) -> Floats:
    """Directions (count, 3) over the upper half of the sphere, in left-right pairs, the same for everybody."""
    right = np.random.default_rng(7).standard_normal((count // 2, 3))
    right[:, 2] = np.abs(right[:, 2])
    places = np.concatenate([right, right * [-1, 1, 1]])
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))


@cache
def _montage() -> dict[str, NDArray[np.float64]]:
    positions = standard_montage().get_positions()["ch_pos"]
    return {name.lower(): place for name, place in positions.items()}
