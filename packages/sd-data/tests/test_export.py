"""What the exporters write is read back whole by the tools that people use, and says that it is synthetic."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import edfio
import mne
import mne_bids
import numpy as np
import pytest

from sd_core.plugin import NoOptions, SdError, SignalInfo, Windows
from sd_core.registry import discover
from sd_data.export.bids import Bids
from sd_data.export.edf import Edf, record_duration
from sd_data.export.fif import Fif
from sd_data.export.measurement import montage

PROVENANCE = {"synthetic": True, "model": "dit", "checkpoint": "checkpoint-7", "seed": 3, "plugins": {"sd-core": "9"}}
NAMES = ("Fp1", "T3", "Pz", "A2-A1")


@pytest.fixture
def windows() -> Windows:
    rng = np.random.default_rng(0)
    signal = (rng.standard_normal((3, 4, 2048)) * np.array([5, 50, 500, 0.5])[:, None]).astype(np.float32)
    labels: dict[str, list[Any]] = {
        "age": [31.0, None, 44.5],
        "gender": ["F", None, "M"],
        "label": ["rest", "mental arithmetic", "rest"],
        "caption": ["EEG, at rest", "Müde; x=1", None],
    }
    info = SignalInfo(channel_names=NAMES, n_samples=2048, sfreq=125.0, reference="average")
    return Windows(signal=signal, info=info, columns=labels)


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def provenance_in(text: str) -> Any:
    assert text.startswith(
        "SYNTHETIC EEG, not a recording of a person; drawn by Signal Diffusion from dit checkpoint-7"
    )
    return json.loads(text.split("provenance: ")[1])


def test_fif(windows: Windows, tmp_path: Path) -> None:
    (path,) = Fif(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    epochs = mne.read_epochs(path, verbose="error")
    np.testing.assert_allclose(epochs.get_data() * 1e6, windows.signal, rtol=2e-7, atol=0)
    assert tuple(epochs.ch_names) == NAMES
    assert epochs.info["sfreq"] == 125.0
    assert epochs.info["custom_ref_applied"]
    assert provenance_in(epochs.info["description"]) == PROVENANCE
    placed = epochs.get_montage().get_positions()["ch_pos"]
    assert [name for name in NAMES if name in placed and np.isfinite(placed[name]).all()] == ["Fp1", "T3", "Pz"]
    assert len(epochs["synthetic/rest"]) == 2
    np.testing.assert_array_equal(epochs.metadata["age"], [31.0, np.nan, 44.5])
    assert epochs.metadata["gender"].tolist()[::2] == ["F", "M"]
    assert epochs.metadata["synthetic"].all()


def test_fif_replaces_its_own_file(windows: Windows, tmp_path: Path) -> None:
    for _ in range(2):
        Fif(NoOptions())(windows, tmp_path, PROVENANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["generated-epo.fif"]


def test_edf_is_right_to_half_a_step_of_16_bits(windows: Windows, tmp_path: Path) -> None:
    table, *files = Edf(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    assert [file.name for file in files] == [row["file"] for row in rows(table)]
    for file, expected in zip(files, windows.signal, strict=True):
        raw = mne.io.read_raw_edf(file, verbose="error")
        assert tuple(raw.ch_names) == NAMES
        assert raw.info["sfreq"] == 125.0
        assert raw.n_times == 2048
        span = expected.max(1) - expected.min(1) + 0.02
        error = np.abs(raw.get_data() * 1e6 - expected).max(1)
        assert (error <= 0.501 * span / 65535).all()


def test_edf_says_what_it_is(windows: Windows, tmp_path: Path) -> None:
    table, *files = Edf(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    raw = mne.io.read_raw_edf(files[1], verbose="error")
    first, second = raw.annotations.description
    assert provenance_in(first) == PROVENANCE
    assert second == "window=1; age=n/a; gender=n/a; label=mental arithmetic; caption=Müde; x=1"
    assert raw.info["subject_info"]["his_id"] == "synthetic"
    assert rows(table)[2] == {
        "file": "window-000002.edf",
        "subject": "synthetic000002",
        "age": "44.5",
        "gender": "M",
        "caption": "",
        "state": "rest",
    }


@pytest.mark.parametrize(
    ("unit", "kind", "per_unit"), [("mV", "eeg", 1e-3), ("V", "eeg", 1.0), ("nT", "misc", 1.0), ("", "misc", 1.0)]
)
def test_fif_says_other_units_than_microvolts(
    windows: Windows, tmp_path: Path, unit: str, kind: str, per_unit: float
) -> None:
    other = replace(windows, info=replace(windows.info, unit=unit))
    (fif,) = Fif(NoOptions())(other, tmp_path / "out", PROVENANCE)
    epochs = mne.read_epochs(fif, verbose="error")
    assert set(epochs.get_channel_types()) == {kind}
    np.testing.assert_allclose(epochs.get_data(picks="all") / per_unit, windows.signal, rtol=2e-7, atol=0)


@pytest.mark.parametrize(("unit", "volts"), [("V", 1.0), ("mV", 1e-3), ("nV", 1e-9)])
def test_edf_is_in_microvolts_whatever_the_windows_are_in(
    windows: Windows, tmp_path: Path, unit: str, volts: float
) -> None:
    signal = (windows.signal * (1e-6 / volts)).astype(np.float32)
    other = replace(windows, signal=signal, info=replace(windows.info, unit=unit))
    _, *files = Edf(NoOptions())(other, tmp_path / "out", PROVENANCE)
    assert {series.physical_dimension for series in edfio.read_edf(files[0]).signals} == {"uV"}
    for file, expected in zip(files, windows.signal, strict=True):
        read = mne.io.read_raw_edf(file, verbose="error").get_data() * 1e6
        span = expected.max(1) - expected.min(1) + 0.02
        assert (np.abs(read - expected).max(1) <= 0.502 * span / 65535).all()


@pytest.mark.parametrize("exporter", [Bids, Edf])
@pytest.mark.parametrize(("unit", "said"), [("nT", "are in nT"), ("", "have no unit that is known")])
def test_bids_and_edf_take_potentials_only(
    windows: Windows, tmp_path: Path, exporter: Any, unit: str, said: str
) -> None:
    other = replace(windows, info=replace(windows.info, unit=unit))
    with pytest.raises(SdError, match=f"(BIDS|EDF) holds EEG in volts, and these windows {said}: use --to fif"):
        exporter(NoOptions())(other, tmp_path / "out", PROVENANCE)
    assert not (tmp_path / "out").exists()


def test_a_flat_channel_stays_flat_in_edf(windows: Windows, tmp_path: Path) -> None:
    windows.signal[:, 2] = 1.234
    files = Edf(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    read = mne.io.read_raw_edf(files[1], verbose="error").get_data()[2] * 1e6
    np.testing.assert_allclose(read, 1.234, atol=1e-6)


@pytest.mark.parametrize(
    ("n_samples", "sfreq"), [(2048, 125.0), (24, 1.0), (1000, 100.0), (997, 250.0), (8192, 500.0), (256, 31.25)]
)
def test_a_window_fills_whole_edf_records(n_samples: int, sfreq: float, tmp_path: Path) -> None:
    """MNE's own export pads to whole seconds."""
    info = SignalInfo(channel_names=("a", "b"), n_samples=n_samples, sfreq=sfreq)
    signal = np.random.default_rng(0).standard_normal((1, 2, n_samples)).astype(np.float32)
    files = Edf(NoOptions())(Windows(signal=signal, info=info), tmp_path / "out", PROVENANCE)
    raw = mne.io.read_raw_edf(files[1], verbose="error")
    assert raw.n_times == n_samples
    assert raw.info["sfreq"] == sfreq
    assert n_samples * 4 < 61_440 or record_duration(info) < n_samples / sfreq


def test_what_edf_cannot_hold_is_refused_before_anything_is_written(windows: Windows, tmp_path: Path) -> None:
    long = replace(windows.info, channel_names=(*NAMES[:3], "an electrode with a long name"))
    odd = replace(windows.info, sfreq=300 / 7)
    broken = windows.signal.copy()
    broken[2, 1, 5] = np.nan
    for wrong, sentence in (
        (replace(windows, info=long), "16 ASCII characters"),
        (replace(windows, info=odd), "without padding: use --to fif"),
        (replace(windows, signal=broken), "window 2 holds NaN or infinite samples in T3"),
    ):
        with pytest.raises(SdError, match=sentence):
            Edf(NoOptions())(wrong, tmp_path / "out", PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_bids(windows: Windows, tmp_path: Path) -> None:
    (root,) = Bids(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    found = mne_bids.find_matching_paths(root, extensions=".vhdr")
    assert [path.task for path in found] == ["rest", "mentalarithmetic", "rest"]
    for path, expected in zip(found, windows.signal, strict=True):
        raw = mne_bids.read_raw_bids(path, verbose="error")
        np.testing.assert_allclose(raw.get_data() * 1e6, expected, rtol=1e-6, atol=1e-6)
        assert tuple(raw.ch_names) == NAMES
        assert raw.info["sfreq"] == 125.0
        placed = raw.get_montage().get_positions()["ch_pos"]
        np.testing.assert_allclose(placed["T3"][0], -0.084, atol=0.01)  # metres; left of the middle


def test_bids_says_what_it_is(windows: Windows, tmp_path: Path) -> None:
    (root,) = Bids(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    (generator,) = description["GeneratedBy"]
    assert (generator["Name"], generator["Version"]) == ("Signal Diffusion", "9")
    assert "SYNTHETIC" in generator["Description"]
    assert description["Provenance"] == PROVENANCE
    people = rows(root / "participants.tsv", "\t")
    assert people[1] == {
        "participant_id": "sub-synthetic000001",
        "synthetic": "true",
        "age": "n/a",
        "sex": "n/a",
        "label": "mental arithmetic",
        "caption": "Müde; x=1",
    }
    assert [row["age"] for row in people] == ["31.0", "n/a", "44.5"]
    assert set(json.loads((root / "participants.json").read_text())) == set(people[0])
    sidecar = json.loads(next(root.rglob("sub-synthetic000000*_eeg.json")).read_text())
    assert sidecar["Synthetic"] is True
    assert sidecar["EEGReference"] == "average"
    assert sidecar["Labels"]["gender"] == "F"


@pytest.mark.parametrize("exporter", [Edf, Bids])
def test_a_folder_that_exists_is_refused(exporter: Any, windows: Windows, tmp_path: Path) -> None:
    with pytest.raises(SdError, match="exists already"):
        exporter(NoOptions()).check(tmp_path)
    with pytest.raises(SdError, match="exists already"):
        exporter(NoOptions())(windows, tmp_path, PROVENANCE)


@pytest.mark.parametrize("exporter", [Fif, Edf, Bids])
def test_a_folder_that_cannot_be_written_is_named(exporter: Any, windows: Windows, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SdError, match="cannot write to"):
        exporter(NoOptions())(windows, tmp_path / "file" / "out", PROVENANCE)


@pytest.mark.parametrize("exporter", [Fif, Edf, Bids])
def test_series_without_electrodes_or_labels(exporter: Any, tmp_path: Path) -> None:
    """Stock prices have no place on a head."""
    info = SignalInfo(channel_names=("open", "close"), n_samples=24, sfreq=1.0)
    signal = np.random.default_rng(0).random((2, 2, 24)).astype(np.float32)
    written = exporter(NoOptions())(Windows(signal=signal, info=info), tmp_path / "out", PROVENANCE)
    assert all(path.exists() for path in written)
    assert montage(info.channel_names) is None


@pytest.mark.parametrize("name", ["fif", "edf", "bids"])
def test_they_are_offered(name: str) -> None:
    registry = discover()
    assert callable(registry.create("exporters", name, registry.options("exporters", name)()))
