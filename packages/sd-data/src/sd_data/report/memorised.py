"""The generated windows that look most like a training window, beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sd_core.plugin import Windows
from sd_data.metrics.memorisation import Memorisation
from sd_data.metrics.neighbours import Neighbour
from sd_data.metrics.options import MemorisationOptions
from sd_data.report.figures import ELECTRODES, spacing, waveforms
from sd_data.report.layout import Drawn, grid, section
from sd_data.report.svg import ACCENT, INK

MOST = 3
MOST_COMPARISONS = 1_000_000
"""Pairs of windows, of generated and of held-out ones: some seconds each."""


def memorised(windows: Mapping[str, Windows]) -> str:
    """The section: pairs of a generated window and its neighbour, the nearest first."""
    real, generated, train = (windows[role] for role in ("real", "generated", "train"))
    # What is usual for held-out windows is a median: some of them tell it.
    looked, usual = (_thinned(windows[role], max(1, MOST_COMPARISONS // len(train))) for role in ("generated", "real"))
    pairs = Memorisation(MemorisationOptions()).closest(usual, looked, train, MOST)
    drawn = [figure for pair in pairs for figure in _pair(pair, looked, train, spacing(real))]
    among = f" among {len(looked)} of the generated ones" if len(looked) < len(generated) else ""
    note = (
        f"The windows nearest to a training window{among}, beside it, "
        "moved (reversed, sign changed) to where they agree best. The ratio is their distance over what is usual for "
        "held-out windows: 0 for a copy, about 1 for another person, below .5 a near-copy."
    )
    return section("Closest to the training data", note, grid(drawn))


def _thinned(windows: Windows, most: int) -> Windows:
    """`most` windows at most, evenly spread; their only column says where each stood."""
    rows = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), most)).round().astype(np.int64))
    return replace(windows, signal=windows.signal[rows], columns={"row": rows.tolist()})


def _pair(pair: Neighbour, generated: Windows, train: Windows, gap: float) -> Drawn:
    aligned = replace(train, signal=pair.alignment.applied(train.signal[[pair.train]]), columns={})
    whose = str(train.columns["subject"][pair.train]) if "subject" in train.columns else f"window {pair.train + 1}"
    changed = f" ({pair.alignment.words})" if pair.alignment.words else ""
    # What comes in at the other end is not shown where there is room.
    start = max(round(pair.alignment.shift * train.info.n_samples), 0)
    ours = waveforms(
        generated, pair.generated, f"Generated, ratio {pair.ratio:.2f}", ACCENT, gap, start=start, most=ELECTRODES
    )
    theirs = waveforms(aligned, 0, f"Training, {whose}{changed}", INK, gap, start=start, most=ELECTRODES)
    name = f"Generated window {generated.columns['row'][pair.generated] + 1}"
    return [(ours, f"{name}, ratio {pair.ratio:.2f}"), (theirs, f"{name}: its nearest training window")]
