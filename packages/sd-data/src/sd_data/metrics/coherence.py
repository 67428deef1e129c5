"""Space in the frequency domain: coherence between electrodes, and how power lies over the head."""

from __future__ import annotations

import numpy as np

from sd_core.plugin import NoOptions, Score
from sd_data.metrics.bands import BANDS
from sd_data.metrics.comparison import Comparison
from sd_data.metrics.features import Features


def coherence(options: NoOptions) -> Comparison:
    """Mean absolute difference of mean magnitude-squared coherence, over pairs of electrodes and bands (EEG.md 3.3).

    Segments as for the spectra. Not defined for a single channel.
    """
    del options
    parts = {band: Score(f"Coherence, {band}", detail=True, spatial=True) for band in BANDS}
    return Comparison({"coherence": Score("Coherence error", spatial=True), **parts}, _coherence)


def topography(options: NoOptions) -> Comparison:
    """Pearson correlation over electrodes of mean log band power, averaged over bands (EEG.md 3.3): 1 is the same map.

    Not defined for fewer than three channels, nor where all have the same power.
    """
    del options
    parts = {band: Score(f"Topography, {band}", ideal=1.0, detail=True) for band in BANDS}
    return Comparison({"topography": Score("Topography correlation", ideal=1.0), **parts}, _topography)


def _coherence(real: Features, generated: Features) -> dict[str, float]:
    if real.info.n_channels < 2 or not real.coupling.names:
        return {}
    pairs = np.triu_indices(real.info.n_channels, 1)
    error = np.abs(generated.coupling.coherence - real.coupling.coherence)[:, *pairs].mean(-1)
    return {"coherence": float(error.mean()), **dict(zip(real.coupling.names, error.tolist(), strict=True))}


def _topography(real: Features, generated: Features) -> dict[str, float]:
    found = {}
    for band, power in real.band_power.items():
        theirs, ours = power.mean(0), generated.band_power[band].mean(0)
        if len(theirs) > 2 and min(np.ptp(theirs), np.ptp(ours)) > 1e-6:
            found[band] = float(np.corrcoef(theirs, ours)[0, 1])
    return {"topography": float(np.mean(list(found.values()))), **found} if found else {}
