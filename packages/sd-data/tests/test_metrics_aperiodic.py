"""The background of a spectrum and its alpha peak: known spectra, the library beside it, people."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from sd_core.errors import SdError
from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.aperiodic import alpha_peak, aperiodic
from sd_data.metrics.options import ParametrisationOptions
from sd_data.metrics.parametrisation import Fit, Parameters, parametrise

FREQUENCY = np.arange(129) * 125 / 256
FITS: tuple[Fit, ...] = ("fast", "specparam")
FAST = ParametrisationOptions()


def spectra(
    exponent: float = 1.5, offset: float = 1.0, alpha: float = 10.0, height: float = 0.8, noise: float = 0.0
) -> NDArray[np.float64]:
    """Twenty spectra: a background, alpha and some beta."""
    frequency = np.maximum(FREQUENCY, 0.1)
    logs = offset - exponent * np.log10(frequency)
    logs = logs + height * np.exp(-((frequency - alpha) ** 2) / 2) + 0.3 * np.exp(-((frequency - 21) ** 2) / 8)
    return np.asarray(10 ** (logs + noise * np.random.default_rng(0).standard_normal((20, len(frequency)))))


def parameters(fit: Fit = "fast", **given: float) -> Parameters:
    found = parametrise(spectra(**given), FREQUENCY, fit)
    assert found is not None
    return found


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("exponent", "offset", "alpha", "height"), [(1.5, 1.0, 10.0, 0.8), (0.8, -0.5, 8.3, 1.3)])
def test_a_known_spectrum_is_taken_apart(fit: Fit, exponent: float, offset: float, alpha: float, height: float) -> None:
    found = parameters(fit, exponent=exponent, offset=offset, alpha=alpha, height=height, noise=0.03)
    assert found.exponent.mean() == pytest.approx(exponent, abs=0.08)
    assert found.offset.mean() == pytest.approx(offset, abs=0.15)
    assert found.frequency.mean() == pytest.approx(alpha, abs=0.1)
    assert found.height.mean() == pytest.approx(10 * height, abs=0.8)


def test_a_peak_does_not_bend_the_background() -> None:
    """A straight line through everything would take a third of the peak for background."""
    plain, tall = parameters(height=0.0, noise=0.03), parameters(height=1.6, noise=0.03)
    np.testing.assert_allclose(tall.exponent, plain.exponent, atol=0.1)


@pytest.mark.parametrize("fit", FITS)
def test_a_spectrum_without_a_peak_has_none(fit: Fit) -> None:
    found = parameters(fit, height=0.0, noise=0.02)
    assert np.isnan(found.frequency).all()
    assert np.isnan(found.height).all()
    assert np.isfinite(found.exponent).all()


def test_beta_is_not_alpha() -> None:
    assert np.isnan(parameters(alpha=17.0, noise=0.02).frequency).mean() > 0.9


def test_the_fast_fit_says_what_the_library_says() -> None:
    rng = np.random.default_rng(1)
    power = np.concatenate(
        [
            spectra(rng.uniform(0.8, 2.2), rng.uniform(-1, 1), rng.uniform(8, 12), rng.uniform(0.3, 1.4), 0.05)[:2]
            for _ in range(12)
        ]
    )
    fast, library = (parametrise(power, FREQUENCY, fit) for fit in FITS)
    assert fast is not None
    assert library is not None
    assert np.abs(fast.exponent - library.exponent).max() < 0.15
    assert np.median(np.abs(fast.frequency - library.frequency)) < 0.15
    assert np.abs(fast.height - library.height).max() < 1.5
    assert np.corrcoef(fast.exponent, library.exponent)[0, 1] > 0.98
    assert np.abs(fast.exponent - library.exponent).max() > 0  # they are two fits


def test_spectra_that_end_too_early_have_no_parameters() -> None:
    assert parametrise(spectra()[:, :40], FREQUENCY[:40]) is None
    assert parametrise(spectra()[:, ::8], FREQUENCY[::8]) is None


def test_silence_has_a_flat_background_and_no_peak() -> None:
    found = parametrise(np.full((3, 129), 1e-6), FREQUENCY)
    assert found is not None
    np.testing.assert_allclose(found.exponent, 0, atol=1e-9)
    assert np.isnan(found.frequency).all()


INFO = SignalInfo(channel_names=("Fz", "O1", "O2"), n_samples=2048, sfreq=125.0)


def windows(seed: int, exponent: float = 1.0, alpha: float = 10.0, share: float = 1.0, height: float = 1.0) -> Windows:
    """Noise with a spectrum; alpha at the back in a share of the windows."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.rfftfreq(2048, 1 / 125)
    peak = 4 * height * np.exp(-((frequency - alpha) ** 2) / 2)
    at_back = np.array([0.0, 1.0, 1.0])[:, None] * (np.arange(20) < 20 * share)[:, None, None]
    shape = np.sqrt((1 + at_back * peak) / np.maximum(frequency, 0.5) ** exponent)
    signal = np.fft.irfft(shape * np.fft.rfft(rng.standard_normal((20, 3, 2048)), axis=-1), n=2048, axis=-1)
    return Windows(signal=(30 * signal).astype(np.float32), info=INFO)


def test_distances_are_those_of_what_was_changed() -> None:
    real = windows(0)
    steeper = aperiodic(FAST)(real, windows(1, exponent=1.5), real)
    assert steeper["aperiodic"] == pytest.approx(0.5, abs=0.1)
    louder = Windows(signal=10 * real.signal, info=INFO)
    assert aperiodic(FAST)(real, louder, real) == pytest.approx({"aperiodic": 0.0, "offset": 2.0}, abs=0.01)
    slower = alpha_peak(FAST)(real, windows(1, alpha=8.5), real)
    assert slower["frequency"] == pytest.approx(1.5, abs=0.3)
    assert slower["without"] == 0.0
    taller = alpha_peak(FAST)(real, windows(1, height=4.0), real)
    assert taller["alpha_peak"] > 2


def test_windows_without_alpha_are_counted() -> None:
    found = alpha_peak(FAST)(windows(0), windows(1, share=0.5), windows(0))
    assert found["without"] == pytest.approx(0.5, abs=0.15)
    assert alpha_peak(FAST)(windows(0), windows(1, share=0.0), windows(0))["without"] > 0.7


def test_where_nobody_has_a_peak_it_has_no_frequency() -> None:
    silent = Windows(signal=np.zeros((4, 3, 2048), dtype=np.float32), info=INFO)
    assert alpha_peak(FAST)(windows(0), silent, windows(0)) == {"without": 1.0}


def test_a_scorer_fits_once_and_compares_some() -> None:
    real, made = windows(0), windows(1, exponent=1.5)
    metric = aperiodic(FAST)
    score = metric.scorer(real, made, real)
    assert score(np.arange(20), np.arange(20)) == metric(real, made, real)
    half = Windows(signal=made.signal[:10], info=INFO)
    assert score(np.arange(20), np.arange(10)) == pytest.approx(metric(real, half, real))


def test_the_option_asks_the_library() -> None:
    given = windows(0), windows(1, exponent=1.5), windows(2)
    plain, library = (aperiodic(ParametrisationOptions(fit=fit))(*given)["aperiodic"] for fit in FITS)
    assert plain != library
    assert plain == pytest.approx(library, abs=0.1)


def test_without_specparam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sd_data.metrics.parametrisation.find_spec", lambda name: None if name == "specparam" else find_spec(name)
    )
    with pytest.raises(SdError, match=r"pip install 'sd-data\[eval\]'"):
        parametrise(spectra(), FREQUENCY, "specparam")
    assert parametrise(spectra(), FREQUENCY) is not None
