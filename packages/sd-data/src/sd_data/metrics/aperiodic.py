"""The aperiodic background of spectra and the alpha peak above it (EEG.md 3.2)."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import Score, Windows
from sd_data.metrics.bands import posterior, scalp
from sd_data.metrics.comparison import of_all, wasserstein
from sd_data.metrics.features import POWER_FLOOR, features
from sd_data.metrics.options import ParametrisationOptions
from sd_data.metrics.parametrisation import Fit, Parameters, parametrise

if TYPE_CHECKING:
    from sd_core.protocols import Scorer

Region = Literal["scalp", "posterior"]


@dataclass
class ParameterComparison:
    """A metric of the parameters of one spectrum a window; fitted once, compared as often as it is asked."""

    scores: Mapping[str, Score]
    region: Region
    fit: Fit
    compare: Callable[[Parameters, Parameters], dict[str, float]]
    """(held-out, generated) -> numbers; a score that is not defined for these windows is left out."""

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The numbers that `scores` describes; none where spectra end below 20 Hz."""
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Compares the parameters of some of the windows."""
        del train
        theirs, ours = (parameters(windows, self.region, self.fit) for windows in (real, generated))
        if theirs is None or ours is None:
            return lambda *_: {}
        return lambda held_out, made: self.compare(theirs[held_out], ours[made])


def aperiodic(options: ParametrisationOptions) -> ParameterComparison:
    """Wasserstein-1 distance of the aperiodic exponent over windows; `offset` that of log10 power at 1 Hz.

    Of the mean power over scalp electrodes, one spectrum a window: single electrodes of a window give exponents
    that differ by noise as much as people do.
    """
    scores = {
        "aperiodic": Score("Aperiodic exponent"),
        "offset": Score("Aperiodic offset", "log10 uV²/Hz", detail=True),
    }
    return ParameterComparison(scores, "scalp", options.fit, _background)


def alpha_peak(options: ParametrisationOptions) -> ParameterComparison:
    """The alpha peak of the mean log spectrum over posterior electrodes, one a window.

    Wasserstein-1 distances of its height and of its frequency over the windows that have one, and the
    difference of the shares of windows that have none.
    """
    scores = {
        "alpha_peak": Score("Alpha peak height", "dB", detail=True),
        "frequency": Score("Alpha peak frequency", "Hz", detail=True),
        "without": Score("Share without an alpha peak", detail=True),
    }
    return ParameterComparison(scores, "posterior", options.fit, _peak)


def _background(real: Parameters, generated: Parameters) -> dict[str, float]:
    return {
        "aperiodic": wasserstein(real.exponent, generated.exponent),
        "offset": wasserstein(real.offset, generated.offset),
    }


def _peak(real: Parameters, generated: Parameters) -> dict[str, float]:
    theirs, ours = (np.isfinite(found.frequency) for found in (real, generated))
    found = {"without": float(abs(theirs.mean() - ours.mean()))}
    if theirs.any() and ours.any():
        found["alpha_peak"] = wasserstein(real.height[theirs], generated.height[ours])
        found["frequency"] = wasserstein(real.frequency[theirs], generated.frequency[ours])
    return found


_PARAMETERS: dict[tuple[int, Region, Fit], Parameters | None] = {}


def parameters(windows: Windows, region: Region, fit: Fit) -> Parameters | None:
    """Of these windows; asked twice for the same object, fitted once. Forgotten when the windows are."""
    key = (id(windows), region, fit)
    if key not in _PARAMETERS:
        _PARAMETERS[key] = parametrise(_spectra(windows, region), features(windows).frequency, fit)
        weakref.finalize(windows, _PARAMETERS.pop, key, None)
    return _PARAMETERS[key]


def _spectra(windows: Windows, region: Region) -> NDArray[np.float64]:
    """One spectrum a window, uV^2/Hz: (n, bins)."""
    names, power = windows.info.channel_names, features(windows).psd + POWER_FLOOR
    if region == "posterior":
        # The mean of logs: one electrode full of muscle does not hide the others' alpha.
        return np.asarray(np.exp(np.log(power[:, posterior(names)]).mean(1)))
    return np.asarray(power[:, scalp(names) or slice(None)].mean(1))
