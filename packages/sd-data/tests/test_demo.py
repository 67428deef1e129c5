"""The demo corpus is EEG-like, its labels mean what they say, and subject i is always subject i."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch
from scipy.stats import kurtosis

from sd_core.plugin import SdError
from sd_core.testing.corpus import CorpusContract
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_data.build.recordings import Recording
from sd_data.corpora.artefacts import contaminate
from sd_data.corpora.demo import CHANNELS, STATES, DemoCorpus, DemoProcess, generate
from sd_data.corpora.population import Subject, subject
from sd_data.corpora.rhythms import background_density, damped_oscillation, envelope, power_law
from sd_data.corpora.scalp import directions
from sd_data.options import DemoOptions

QUICK = DemoOptions(subjects=3, windows_per_state=1)
WHOLE = (1.0, 0.0, 0.0)


class TestDemo(CorpusContract):
    def corpus(self) -> DemoCorpus:
        return DemoCorpus(QUICK)


def built(out: Path, **options: Any) -> WindowSet:
    DemoCorpus(DemoOptions(**{"windows_per_state": 1, "split": WHOLE, **options})).build(out)
    found = open_split(out, "train")
    assert isinstance(found, WindowSet)
    return found


def test_its_shape_is_that_of_the_reference_windows(tmp_path: Path) -> None:
    windows = built(tmp_path / "d", subjects=2)
    assert windows.info.channel_names == CHANNELS
    assert str(windows.info) == "20 channels x 2048 samples at 125 Hz"
    assert windows.column("state") == ["rest", "arithmetic"] * 2
    assert windows.column("gender") == ["F", "F", "M", "M"]
    assert windows.classes("label") == STATES


def test_a_subject_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = built(tmp_path / "few", subjects=2), built(tmp_path / "many", subjects=4)
    np.testing.assert_array_equal(few.signals(range(4)), many.signals(range(4)))
    other = built(tmp_path / "other", subjects=1, seed=1)
    assert not np.allclose(other.signals([0]), few.signals([0]), atol=1)


def test_people_are_half_female_half_ill_and_of_all_ages() -> None:
    people = [subject(0, number, 1.0) for number in range(200)]
    assert sum(person.female for person in people) == 100
    assert sum(person.parkinson for person in people) == 100
    assert sum(person.female and person.parkinson for person in people) == 50
    ages = np.array([person.age for person in people])
    assert (ages.min(), ages.max()) >= (20, 70)
    assert ages.max() <= 80
    assert 45 < ages.mean() < 55


def effect(attribute: str, chosen: str, effect_scale: float) -> float:
    people = [subject(0, number, effect_scale) for number in range(400)]
    groups: list[list[float]] = [[], []]
    for person in people:
        groups[bool(getattr(person, chosen))].append(getattr(person, attribute))
    return float(np.mean(groups[1]) - np.mean(groups[0]))


@pytest.mark.parametrize(
    ("attribute", "chosen", "size"),
    [
        ("exponent", "parkinson", 0.20),
        ("alpha_db", "parkinson", -1.0),
        ("theta_db", "parkinson", 3.0),
        ("beta_db", "parkinson", 1.0),
        ("alpha_db", "female", 1.0),
        ("beta_db", "female", 1.5),
    ],
)
def test_labels_have_the_stated_effects(attribute: str, chosen: str, size: float) -> None:
    nothing = effect(attribute, chosen, 0.0)  # what chance does to these 400 people
    assert effect(attribute, chosen, 1.0) - nothing == pytest.approx(size, rel=0.1)
    assert effect(attribute, chosen, 3.0) - nothing == pytest.approx(3 * size, rel=0.1)


def test_age_flattens_slows_and_shrinks() -> None:
    people = [subject(0, number, 1.0) for number in range(400)]
    age = np.array([person.age for person in people])
    for attribute in ("exponent", "alpha_hz", "alpha_db", "amplitude_uv"):
        assert np.corrcoef(age, [getattr(person, attribute) for person in people])[0, 1] < -0.1


def recorded(person: Subject, state: str, **options: Any) -> NDArray[np.float32]:
    chosen = DemoOptions(**{"windows_per_state": 4, **options})
    recording = Recording(
        corpus="demo",
        subject=str(person.number),
        session="1",
        name="x",
        state=state,
        gender=None,
        health=None,
        age=None,
    )
    outcome = DemoProcess(CHANNELS, chosen)(recording, 0.0)
    assert outcome.problem is None
    return np.stack([window["signal"] for window in outcome.windows])


def decibels(signals: NDArray[np.float32], low: float, high: float) -> NDArray[np.float64]:
    """Mean log power per channel in a band."""
    hertz, power = welch(signals, 125, nperseg=256)
    return np.asarray(10 * np.log10(power[..., (hertz >= low) & (hertz < high)].mean(axis=(0, -1))))


def test_the_task_costs_alpha_and_gives_theta() -> None:
    """Rest minus arithmetic over a few people, where the effects are three times realistic."""
    people = [subject(0, number, 3.0) for number in range(4)]
    differences = []
    for person in people:
        rest, busy = (recorded(person, state, effect_scale=3.0) for state in STATES)
        occipital, midline = CHANNELS.index("O1"), CHANNELS.index("Fz")
        alpha = [decibels(x, person.alpha_hz - 1, person.alpha_hz + 1)[occipital] for x in (rest, busy)]
        theta = [decibels(x, 5, 7)[midline] for x in (rest, busy)]
        differences.append((alpha[0] - alpha[1], theta[0] - theta[1]))
    alpha_gain, theta_gain = np.mean(differences, axis=0)
    assert 1.5 < alpha_gain < 8
    assert theta_gain < -0.5


def test_alpha_peaks_at_the_back_where_the_person_has_it() -> None:
    person = next(found for found in (subject(0, n, 1.0) for n in range(50)) if found.alpha_db > 10)
    signals = recorded(person, "rest")
    hertz, power = welch(signals, 125, nperseg=512)
    spectrum = power[:, CHANNELS.index("O1")].mean(axis=0)
    band = (hertz > 6) & (hertz < 14)
    assert hertz[band][spectrum[band].argmax()] == pytest.approx(person.alpha_hz, abs=0.6)
    alpha = decibels(signals, person.alpha_hz - 1, person.alpha_hz + 1)
    assert alpha[CHANNELS.index("O1")] > alpha[CHANNELS.index("F7")] + 3


def test_it_is_as_heavy_tailed_as_eeg() -> None:
    """eegmat: median excess kurtosis .26 of 19 electrodes' windows; a Gaussian with this spectrum has 0."""
    signals = np.concatenate([recorded(subject(0, n, 1.0), "rest") for n in range(6)])
    assert 0.15 < np.median(kurtosis(signals, axis=-1)) < 0.6
    assert 4 < np.median(signals.std(axis=-1)) < 15


def test_filters_and_reference_are_those_of_recordings() -> None:
    signals = recorded(subject(0, 0, 1.0), "rest")
    np.testing.assert_allclose(signals.mean(axis=1), 0, atol=1e-4)
    assert decibels(signals, 5, 40).min() - decibels(signals, 56, 62).max() > 15
    raw, _ = generate(subject(0, 0, 1.0), "rest", CHANNELS, QUICK)
    line = decibels(raw.data[None].astype(np.float32), 49.5, 50.5)
    assert (line > decibels(raw.data[None].astype(np.float32), 40, 45) + 5).all()


def test_artefacts_are_where_they_are_said_to_be() -> None:
    electrodes = directions(CHANNELS)
    signal = np.zeros((20, 125 * 600))
    found = contaminate(np.random.default_rng(0), signal, electrodes, 125.0)
    blinks = [artefact for artefact in found if artefact.kind == "blink"]
    muscles = [artefact for artefact in found if artefact.kind == "muscle at T8"]
    assert 5 < len(blinks) < 25
    assert len(muscles) > 1
    middle = round((blinks[0].start_s + blinks[0].duration_s / 2) * 125)
    peaks = signal[:, middle - 3 : middle + 4].max(axis=1)
    assert peaks[CHANNELS.index("Fp1")] > 40 > 5 * peaks[CHANNELS.index("Pz")]
    start = round(muscles[0].start_s * 125)
    burst = signal[:, start : start + round(muscles[0].duration_s * 125)].std(axis=1)
    assert burst.argmax() == CHANNELS.index("T8")


def test_windows_list_their_artefacts(tmp_path: Path) -> None:
    said = built(tmp_path / "d", subjects=6, windows_per_state=4).column("artefacts")
    assert any("blink at" in text for text in said)
    assert any("muscle at T7 at" in text for text in said)
    assert any(text == "" for text in said)


def test_other_electrodes_can_be_asked_for(tmp_path: Path) -> None:
    windows = built(tmp_path / "d", subjects=1, channels=("POz", "T3", "Cz"))
    assert windows.info.channel_names == ("POz", "T3", "Cz")
    assert windows.signals([0]).std() > 1
    with pytest.raises(SdError, match="cannot place the electrodes A2-A1"):
        built(tmp_path / "e", subjects=1, channels=("Cz", "A2-A1"))


def test_building_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(subject(0, 1, 1.0), "rest", CHANNELS, QUICK)


def test_the_background_has_unit_variance_and_its_exponent() -> None:
    noise = power_law(np.random.default_rng(0), 2.0, (40, 2**14), 125.0)
    assert noise.var() == pytest.approx(1, rel=0.1)
    hertz, power = welch(noise, 125, nperseg=1024)
    band = (hertz > 8) & (hertz < 50)
    slope = np.polyfit(np.log(hertz[band]), np.log(power.mean(0)[band]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.15)
    measured = power.mean(0)[np.abs(hertz - 10).argmin()]
    assert background_density(10, 2.0, 125.0) == pytest.approx(measured, rel=0.15)


def test_rhythms_have_unit_variance_and_their_width() -> None:
    rng = np.random.default_rng(0)
    wave = np.stack([damped_oscillation(rng, 10.0, 2.0, 2**14, 125.0) for _ in range(20)])
    assert wave.var() == pytest.approx(1, rel=0.05)
    hertz, power = welch(wave, 125, nperseg=1024)
    spectrum = power.mean(0)
    above = hertz[spectrum > spectrum.max() / 2]
    assert hertz[spectrum.argmax()] == pytest.approx(10, abs=0.3)
    assert above.max() - above.min() == pytest.approx(2, abs=0.5)


def test_the_envelope_is_slow_and_keeps_the_power() -> None:
    rng = np.random.default_rng(0)
    slow = np.stack([envelope(rng, 2**14, 125.0) for _ in range(40)])
    assert (slow**2).mean() == pytest.approx(1, rel=0.1)
    lag = 250
    logs = np.log(slow) - np.log(slow).mean()
    correlation = (logs[:, :-lag] * logs[:, lag:]).mean() / (logs**2).mean()
    assert correlation == pytest.approx(np.exp(-1), abs=0.1)
