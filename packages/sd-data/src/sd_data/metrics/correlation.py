"""Space without further requirements: correlations between electrodes."""

from __future__ import annotations

import numpy as np

from sd_core.plugin import NoOptions, Score
from sd_data.metrics.comparison import Comparison
from sd_data.metrics.features import Features


def correlation(options: NoOptions) -> Comparison:
    """Frobenius distance of mean correlation matrices, relative to the real one's norm (EEG.md 3.3).

    Over all channels as they are referenced in the dataset; not defined for a single one.
    """
    del options
    return Comparison({"correlation": Score("Correlation error", spatial=True)}, _error)


def _error(real: Features, generated: Features) -> dict[str, float]:
    if real.info.n_channels < 2:
        return {}
    theirs, ours = real.correlation.mean(0), generated.correlation.mean(0)
    return {"correlation": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))}
