"""From clean signals to windows; what is rejected, and why."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError
from sd_data.build.recordings import Signals
from sd_data.options import CorpusOptions

Window = tuple[float, NDArray[np.float32]]
"""Start in seconds, and (channels, samples) in microvolts."""


def cut(
    signals: Signals, before: Signals, options: CorpusOptions, *, overlap: float, where: str
) -> tuple[list[Window], dict[str, int]]:
    """Cut a recording into windows.

    Args:
        signals: Clean signals.
        before: The same before the re-reference, where flat channels show that the average would hide.
        options: Length of a window, limits.
        overlap: Share of a window that the next one repeats.
        where: The recording, for the message.

    Returns:
        The windows, and the number of rejected ones by reason.

    Raises:
        SdError: the recording is shorter than one window.
    """
    length, total = options.n_samples, signals.data.shape[1]
    if total < length:
        raise SdError(
            f"{where} lasts {total / signals.sfreq:g} s, less than one window of {options.window_s:g} s: "
            "set a smaller window_s or leave the recording out"
        )
    kept: list[Window] = []
    rejected: Counter[str] = Counter()
    for start in range(0, total - length + 1, max(1, round(length * (1 - overlap)))):
        window = signals.data[:, start : start + length]
        seconds = start / signals.sfreq
        reason = _fault(window, before.data[:, start : start + length], seconds, signals, options)
        if reason:
            rejected[reason] += 1
        else:
            # What is left of an offset after the high-pass says nothing about the brain, and spectrograms drop it.
            kept.append((seconds, (window - window.mean(axis=1, keepdims=True)).astype(np.float32)))
    return kept, dict(rejected)


def _fault(
    window: NDArray[np.float64],
    before: NDArray[np.float64],
    seconds: float,
    signals: Signals,
    options: CorpusOptions,
) -> str | None:
    if any(start < seconds + options.window_s and stop > seconds for start, stop in signals.bad_spans):
        return "annotated as bad"
    # Channels that are copies of one another are flat only once the average is taken away.
    if any((data.std(axis=1) < options.flat_uv).any() for data in (before, window)):
        return f"flat channel (below {options.flat_uv:g} uV)"
    if options.peak_uv and np.abs(window).max() >= options.peak_uv:
        return f"amplitude of {options.peak_uv:g} uV or more"
    return None
