"""From a recording to clean signals: electrodes, rate, band, reference."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sd_core.plugin import SdError
from sd_data.build.electrodes import absent, canonical, match, on_scalp, refuse_banks
from sd_data.build.interpolating import interpolated
from sd_data.build.recordings import Signals
from sd_data.options import CorpusOptions

_LOWEST_RATE = 90.0
"""Hz; 0.5-45 Hz does not fit below."""
_LOUDEST_UV, _QUIETEST_UV = 1000.0, 0.05
"""Typical standard deviations of a second of EEG lie between; what is quieter than `_NOTHING_UV` is rounding."""
_NOTHING_UV, _TYPICAL_UV = 1e-6, 15.0
_HALF_LENGTH = 32
"""Of the resampling filter, in samples of the slower side; its pass band ends at 9/10 of the Nyquist frequency."""


def clean(
    signals: Signals,
    channels: tuple[str, ...],
    options: CorpusOptions,
    where: str,
    *,
    interpolate: bool = False,
) -> tuple[Signals, Signals]:
    """Resample, filter and re-reference.

    The average reference is the mean of all good scalp electrodes of the recording, whether chosen or not. A
    channel that is no single scalp electrode, such as the bipolar A2-A1, does not enter the mean and keeps
    its own reference.

    Args:
        signals: As recorded.
        channels: Electrodes wanted, in order.
        options: Rate, band, notch and reference.
        where: The recording, for messages.
        interpolate: Compute missing and bad electrodes from the others.

    Returns:
        The wanted channels, and the same before the re-reference: only there does a flat channel look flat.

    Raises:
        SdError: an electrode is missing or marked as bad, a sample is not finite, the rate is too low, the
            unit cannot be microvolts, a channel is flat, or no electrodes are known that make an average.
    """
    if signals.sfreq < _LOWEST_RATE:
        raise SdError(f"{where} is sampled at {signals.sfreq:g} Hz, below {_LOWEST_RATE:g} Hz")
    average = options.reference == "average"
    bad = {canonical(name) for name in signals.bad_names}
    refuse_banks(channels, signals.names, where)
    head = on_scalp(signals.names)
    scalp = [place for place in head if average and canonical(signals.names[place]) not in bad]
    moving = {canonical(signals.names[place]) for place in head}
    signals = _completed(signals, channels, where, interpolate=interpolate)
    wanted = match(channels, signals.names, where)
    if average and not scalp:
        raise SdError(
            f"{where} has no good electrodes that are known by name, so there is no average to take away (it has "
            f"{', '.join(signals.names)}): keep its own reference with --set reference=original"
        )
    used = sorted({*wanted, *scalp})
    data = np.ascontiguousarray(signals.data[used])
    _refuse_bad_samples(data, [signals.names[place] for place in used], where)
    data = filtered(resampled(data, signals.sfreq, options.sfreq), options)
    place_of = {place: row for row, place in enumerate(used)}
    rows = [place_of[place] for place in wanted]
    before = replace(signals, names=channels, data=data[rows], sfreq=options.sfreq)
    _refuse_wrong_unit(before, options, where)
    _refuse_flat(before, options.flat_uv, where)
    if not average:
        return before, before
    mean = data[[place_of[place] for place in scalp]].mean(axis=0)
    moving |= {canonical(name) for name in signals.interpolated}
    moved = np.array([[float(canonical(name) in moving)] for name in channels])
    return replace(before, data=before.data - moved * mean), before


def _completed(signals: Signals, channels: tuple[str, ...], where: str, *, interpolate: bool) -> Signals:
    """With the wanted electrodes that are missing or bad computed, where that is allowed."""
    bad = {canonical(name) for name in signals.bad_names}
    lost = tuple(name for name in channels if canonical(name) in bad)
    missing = (*absent(channels, signals.names), *lost)
    if not missing:
        return signals
    if interpolate:
        filled = interpolated(signals, missing, where)
        # Recorded rows stay in place; bad ones lose their name, so that nobody finds them.
        names = tuple(f"{name} (bad)" if canonical(name) in bad else name for name in signals.names)
        return replace(
            signals, names=(*names, *missing), data=np.concatenate([signals.data, filled]), interpolated=missing
        )
    if lost:
        raise SdError(
            f"{where} marks {', '.join(lost)} as bad: compute them from their neighbours with --interpolate, "
            "or choose other electrodes with --channels"
        )
    return signals


def resampled(data: NDArray[np.float64], rate: float, target: float) -> NDArray[np.float64]:
    """Polyphase resampling of (channels, samples); data at the target rate is returned as it is.

    The filter is longer than SciPy's own, whose stop band of 64 dB turns an amplifier's offset of 20 mV
    into a tone of 13 uV.
    """
    ratio = Fraction(target / rate).limit_denominator(2048)
    if ratio == 1:
        return data
    from scipy.signal import firwin, resample_poly

    factor = max(ratio.numerator, ratio.denominator)
    taps = firwin(2 * _HALF_LENGTH * factor + 1, 1 / factor, window=("kaiser", 10.0))
    return np.asarray(resample_poly(data, ratio.numerator, ratio.denominator, axis=-1, window=taps, padtype="mean"))


def filtered(data: NDArray[np.float64], options: CorpusOptions) -> NDArray[np.float64]:
    """Band-pass and notch with MNE's zero-phase FIR filters."""
    from mne.filter import filter_data, notch_filter

    low, high = options.low_hz or None, options.high_hz or None
    if low or high:
        data = filter_data(data, options.sfreq, low, high, verbose="error")
    if options.notch_hz and options.notch_hz < options.sfreq / 2 - 1:
        data = notch_filter(data, options.sfreq, options.notch_hz, verbose="error")
    return np.asarray(data)


def _refuse_bad_samples(data: NDArray[np.float64], names: list[str], where: str) -> None:
    bad = [name for name, row in zip(names, data, strict=True) if not np.isfinite(row).all()]
    if bad:
        raise SdError(f"{where} holds NaN or infinite samples in {', '.join(bad)}")


def _refuse_wrong_unit(signals: Signals, options: CorpusOptions, where: str) -> None:
    """Headers that say mV for uV, or nothing, are found by what no EEG is; limits of 0 take any amplitude."""
    rate = round(signals.sfreq)
    seconds = signals.data[:, : signals.data.shape[1] // rate * rate].reshape(len(signals.names), -1, rate)
    typical = float(np.median(seconds.std(axis=-1))) if seconds.size else _TYPICAL_UV
    loud = options.peak_uv and typical > _LOUDEST_UV
    quiet = options.flat_uv and _NOTHING_UV < typical < min(_QUIETEST_UV, options.flat_uv)
    if loud or quiet:
        scale = 1000.0 ** round(math.log(_TYPICAL_UV / typical, 1000))
        raise SdError(
            f"{where} has a typical standard deviation of {typical:.3g} uV, which is not that of EEG: its unit seems "
            f"wrong; --set scale={scale:g} multiplies all recordings by that"
        )


def _refuse_flat(signals: Signals, flat_uv: float, where: str) -> None:
    flat = [name for name, spread in zip(signals.names, signals.data.std(axis=1), strict=True) if spread < flat_uv]
    if flat:
        raise SdError(f"{where} is flat (below {flat_uv:g} uV) in {', '.join(flat)}")
