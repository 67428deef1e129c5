"""Recordings as labs have them: other names of electrodes, caps of their own, wrong units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.plugin import SdError
from sd_data.build.cleaning import clean
from sd_data.build.electrodes import CLASSICAL_19, canonical, match, on_scalp
from sd_data.build.processing import called
from sd_data.build.recordings import Signals
from sd_data.cli import main
from sd_data.options import CorpusOptions
from sd_data.testing.recordings import WHOLE, eeg, raw_of, windows

BANKS = tuple(f"{bank}{number}" for bank in "ABCD" for number in range(1, 33))
EGI = tuple(f"E{number}" for number in range(1, 129))


def recorded(names: tuple[str, ...], seconds: float = 20) -> Signals:
    return Signals(names, eeg(0, len(names), seconds), 125.0)


def averaged(names: tuple[str, ...], channels: tuple[str, ...]) -> Signals:
    return clean(recorded(names), channels, CorpusOptions(low_hz=0, high_hz=0, notch_hz=0), "r")[0]


@pytest.mark.parametrize(
    "name",
    ["EEG T3-A1A2", "T3-A1+A2", "T7-(A1+A2)", "T3-REF-0", "T7-LER", "T7-CAR", "T7-Av", "EEG T7-M1M2", "T7-linked"],
)
def test_one_reference_for_all_is_no_part_of_the_name(name: str) -> None:
    assert canonical(name) == "t7"


@pytest.mark.parametrize("name", ["A2-A1", "T7-A1", "T7-M2", "T7-1", "T3-T5"])
def test_a_derivation_is_no_electrode(name: str) -> None:
    assert canonical(name) == name.lower()


@pytest.mark.parametrize("twin", ["T3", "T7-LE", "EEG t7"])
def test_an_electrode_that_is_there_twice_is_refused(twin: str) -> None:
    with pytest.raises(SdError, match=f"r has the electrode T7 2 times, as T7 and {twin}: say that one is none"):
        match(("T7",), ("T7", "Cz", twin), "r")
    named = called(recorded(("T7", "Cz", twin)), {twin: "unused"})
    assert match(("T7",), named.names, "r") == [0]


@pytest.mark.parametrize(
    ("names", "channels"), [(BANKS, ("A1", "B5", "C3")), (EGI, ("E22", "E9")), (BANKS[:64], ("A7",))]
)
def test_caps_with_names_of_their_own_have_an_average(names: tuple[str, ...], channels: tuple[str, ...]) -> None:
    signals = recorded((*names, "EXG1", "Status"))
    mean = signals.data[: len(names)].mean(axis=0)
    rows = [names.index(name) for name in channels]
    found = clean(signals, channels, CorpusOptions(low_hz=0, high_hz=0, notch_hz=0), "r")[0]
    np.testing.assert_allclose(found.data, signals.data[rows] - mean)


def test_channels_beside_known_electrodes_are_not_the_scalp() -> None:
    assert on_scalp(("Fz", "Cz", *EGI)) == [0, 1]
    assert on_scalp(("Cz", *EGI)) == list(range(129))
    assert on_scalp(("Fz", "A1", "A2", "C3")) == [0, 3]


def test_no_average_is_claimed_where_there_is_none() -> None:
    names = ("Fp1-F7", "F7-T3")
    with pytest.raises(
        SdError, match=r"no average to take away .*: keep its own reference with --set reference=original"
    ):
        averaged(names, names)
    assert clean(recorded(names), names, CorpusOptions(reference="original"), "r")[0].names == names


@pytest.mark.parametrize("channels", [("C3", "C4"), CLASSICAL_19, ("A1", "Fz")])
@pytest.mark.parametrize("interpolate", [False, True])
def test_a_bank_is_no_place_of_the_10_20_system(channels: tuple[str, ...], interpolate: bool) -> None:
    with pytest.raises(SdError, match="r calls its channels by BioSemi's banks"):
        clean(recorded(BANKS), channels, CorpusOptions(), "r", interpolate=interpolate)


def test_names_say_which_channel_is_which() -> None:
    signals = replace(recorded(BANKS), bad_names=("B2",))
    found = called(signals, {"b2": "C3", "A1": "Cz"})
    assert (found.names[33], found.names[0], found.bad_names) == ("C3", "Cz", ("C3",))
    assert match(("Cz", "C3"), found.names, "r") == [0, 33]
    assert len(on_scalp(found.names)) == len(BANKS)
    assert called(signals, {}) is signals


@pytest.mark.parametrize(
    ("names", "given"),
    [(BANKS, {"A1": "Fp1", "C16": "Fp2"}), (EGI, {"E22": "Fp1", "E9": "Fp2"}), ((*EGI, "Cz"), {"E22": "Fp1"})],
)
def test_the_average_is_of_the_whole_cap_whatever_is_named(names: tuple[str, ...], given: dict[str, str]) -> None:
    signals, options = recorded((*names, "EXG1")), CorpusOptions(low_hz=0, high_hz=0, notch_hz=0)
    plain = clean(signals, tuple(given), options, "r")[0]
    named = clean(called(signals, given), tuple(given.values()), options, "r")[0]
    np.testing.assert_array_equal(named.data, plain.data)
    assert named.names == tuple(given.values())


def test_of_another_recording_what_has_lost_its_name_is_out_of_the_average() -> None:
    found = called(recorded((*CLASSICAL_19, "E1")), {"C3": "C4"})
    assert found.names[8] == "C4 (unnamed)"
    assert 8 not in on_scalp(found.names)


def build(folder: Path, scale: float, *arguments: str) -> Result:
    folder.mkdir(exist_ok=True)
    (folder / "recordings.csv").write_text("file,subject\na.fif,p1\n")
    raw_of(scale * eeg(1)).save(folder / "a.fif", overwrite=True, verbose="error")
    command = ["build", "files", "--source", str(folder), "-o", str(folder.parent / "d"), "--set=window_s=4", WHOLE]
    return CliRunner().invoke(main, [*command, *arguments])


@pytest.mark.parametrize(("factor", "remedy"), [(1e6, "1e-06"), (1e3, "0.001"), (1e-3, "1000")])
def test_a_wrong_unit_is_refused_and_mended_on_request(factor: float, remedy: str, tmp_path: Path) -> None:
    refused = build(tmp_path / "lab", factor)
    assert refused.exit_code == 2
    assert "a.fif' has a typical standard deviation of" in refused.stderr
    assert f"--set scale={remedy} multiplies" in refused.stderr
    assert build(tmp_path / "lab", factor, f"--set=scale={remedy}").exit_code == 0
    assert windows(tmp_path / "d").signals([1])[0].std() == pytest.approx(12 * np.sqrt(45 / 62.5), rel=0.1)


@pytest.mark.parametrize("limits", [{"peak_uv": 0.0}, {"flat_uv": 0.0}])
def test_limits_of_nothing_take_any_amplitude(limits: Mapping[str, Any]) -> None:
    signals = replace(recorded(CLASSICAL_19), data=(1e4 if "peak_uv" in limits else 1e-4) * eeg(0))
    assert clean(signals, ("Cz",), CorpusOptions(**limits), "r")[0].names == ("Cz",)
