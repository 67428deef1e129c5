"""BIDS folders: five formats, labels of participants.tsv, sidecars, and what is refused."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import mne_bids
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.io import savemat

from sd_core.cli.sample import main as sample
from sd_core.config.read import read_run
from sd_core.plugin import SdError
from sd_core.registry import discover
from sd_core.run.train import train
from sd_core.testing.corpus import CorpusContract
from sd_core.testing.toys import toy_config, toy_registry
from sd_core.windows.opening import read_meta
from sd_data.build.electrodes import CLASSICAL_19
from sd_data.build.processing import FileProcess
from sd_data.build.recordings import Signals
from sd_data.cli import main
from sd_data.corpora.bids import BidsCorpus, find_recordings, licence_of, read_bids
from sd_data.corpora.options import BidsOptions
from sd_data.testing.recordings import WHOLE, eeg, everything, raw_of, windows

FORMATS = {"01": "EDF", "02": "BDF", "03": "BrainVision", "04": "EEGLAB", "05": "FIF"}
PEOPLE = """participant_id\tage\tsex\tGroup
sub-01\t71\tF\tPD
sub-02\t66\tmale\tHC
sub-03\tn/a\tn/a\tn/a
sub-04\t59\tF\tHC
sub-05\t80+\tM\tPD
"""
HEALTH = ('--set=columns={health="Group"}', '--set=values={health={PD="PD", HC="H"}}')


def write_recording(folder: Path, subject: str, task: str = "rest", line_hz: float = 60.0) -> Path:
    """One recording as mne-bids writes it; EEGLAB and FIF, which it does not write, in the place of an EDF file."""
    kind, number = FORMATS[subject], int(subject) + (50 if task != "rest" else 0)
    raw = raw_of(eeg(number))
    raw.info["line_freq"] = line_hz
    raw.set_annotations(mne.Annotations([8.5], [1.0], ["BAD_cough"]))
    place = mne_bids.BIDSPath(subject=subject, session="1", task=task, datatype="eeg", root=folder)
    written = kind if kind in ("BDF", "BrainVision") else "EDF"
    path = mne_bids.write_raw_bids(raw, place, format=written, allow_preload=True, verbose="error").fpath
    if kind == "EEGLAB":
        path.unlink()
        write_eeglab(path.with_suffix(".set"), eeg(number))
    if kind == "FIF":
        path.unlink()
        raw_of(eeg(number)).save(path.with_suffix(".fif"), verbose="error")
    return Path(path)


def write_eeglab(path: Path, signals: Any) -> None:
    places = np.zeros(len(signals), dtype=[("labels", "O")])
    places["labels"] = CLASSICAL_19
    empty = np.zeros(0)
    content = {
        "setname": "x", "nbchan": float(len(signals)), "pnts": float(signals.shape[1]), "trials": 1.0,
        "srate": 125.0, "xmin": 0.0, "xmax": (signals.shape[1] - 1) / 125, "data": signals.astype(np.float32),
        "chanlocs": places, "event": empty, "icawinv": empty, "icasphere": empty, "icaweights": empty,
    }  # fmt: skip
    savemat(path, {"EEG": content}, appendmat=False)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "ds1"
    for subject in FORMATS:
        write_recording(folder, subject)
    write_recording(folder, "01", "counting")
    (folder / "participants.tsv").write_text(PEOPLE)
    return folder


@pytest.fixture
def source(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "ds1"))


def build(source: Path, out: Path, *arguments: str) -> Result:
    command = ["build", "bids", "--source", str(source), "-o", str(out), "--set", "window_s=4", *arguments]
    return CliRunner().invoke(main, command)


class TestBids(CorpusContract):
    folder: Path

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _source(cls, pristine: Path) -> None:
        cls.folder = pristine

    def corpus(self) -> BidsCorpus:
        return BidsCorpus(BidsOptions(source=str(self.folder), window_s=4.0))


def test_five_formats_and_the_labels_of_their_people(source: Path, tmp_path: Path) -> None:
    done = build(
        source, tmp_path / "d", WHOLE, HEALTH[0],
        '--set=values={health={PD="PD", HC="H"}, state={rest="rest", counting="arithmetic"}}',
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = windows(tmp_path / "d")
    columns = ("recording", "subject", "session", "state", "gender", "health", "age", "corpus")
    rows = set(zip(*(found.column(name) for name in columns), strict=True))
    assert rows == {
        ("sub-01_ses-1_task-rest", "01", "1", "rest", "F", "PD", 71.0, "ds1"),
        ("sub-01_ses-1_task-counting", "01", "1", "arithmetic", "F", "PD", 71.0, "ds1"),
        ("sub-02_ses-1_task-rest", "02", "1", "rest", "M", "H", 66.0, "ds1"),
        ("sub-03_ses-1_task-rest", "03", "1", "rest", None, None, None, "ds1"),
        ("sub-04_ses-1_task-rest", "04", "1", "rest", "F", "H", 59.0, "ds1"),
        ("sub-05_ses-1_task-rest", "05", "1", "rest", "M", "PD", 80.0, "ds1"),
    }
    # The cough at 8.5 s is in events.tsv; FIF and EEGLAB recordings find it there, too.
    assert 8.0 not in found.column("start_s")
    assert read_meta(tmp_path / "d")["report"]["rejected"] == {"annotated as bad": 6}


@pytest.mark.parametrize(
    ("said", "arguments", "expected"),
    [
        ('{"License": "CC BY 4.0"}', (), "CC BY 4.0"),
        ('{"License": "CC BY 4.0"}', ("--set", "license=CC0"), "CC0"),
        ('{"License": null}', (), None),
    ],
)
def test_the_licence_is_that_of_the_folder(
    source: Path, tmp_path: Path, said: str, arguments: tuple[str, ...], expected: str | None
) -> None:
    (source / "dataset_description.json").write_text(said)
    assert build(source, tmp_path / "d", WHOLE, '--set=tasks=["counting"]', *arguments).exit_code == 0
    assert read_meta(tmp_path / "d")["about"].get("licence") == expected


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    assert licence_of(tmp_path) == ""
    (tmp_path / "dataset_description.json").write_text("{")
    with pytest.raises(SdError, match=r"dataset_description\.json' is damaged"):
        licence_of(tmp_path)


def test_samples_and_sidecars_are_those_that_were_written(source: Path) -> None:
    channels = source / "sub-03" / "ses-1" / "eeg" / "sub-03_ses-1_task-rest_channels.tsv"
    lines = channels.read_text().splitlines()
    place = lines[0].split("\t").index("status")
    cells = lines[5].split("\t")
    cells[place] = "bad"
    channels.write_text("\n".join([*lines[:5], "\t".join(cells), *lines[6:]]) + "\n")
    recordings, _ = find_recordings(BidsOptions(source=str(source)))
    assert len(recordings) == 6
    for recording in recordings:
        signals: Signals = read_bids(recording)
        number = int(recording.subject) + (50 if recording.state == "counting" else 0)
        np.testing.assert_allclose(signals.data, eeg(number), atol=0.05)
        assert signals.names == CLASSICAL_19
        assert signals.line_hz == 60
        np.testing.assert_allclose(signals.bad_spans, [(8.5, 9.5)], atol=0.008)  # mne-bids rounds to samples
        assert signals.bad_names == ((CLASSICAL_19[4],) if recording.subject == "03" else ())


def test_the_notch_is_at_the_line_of_the_sidecar(tmp_path: Path) -> None:
    """A tone of 60 Hz survives a notch at 50 Hz, and not one at 60 Hz."""
    place = mne_bids.BIDSPath(subject="01", task="rest", datatype="eeg", root=tmp_path / "ds")
    tone = 20 * np.sin(2 * np.pi * 60 * np.arange(250 * 20) / 250)
    raw = raw_of(eeg(1, sfreq=250.0) * 0.1 + tone, sfreq=250.0)
    raw.info["line_freq"] = 60
    mne_bids.write_raw_bids(raw, place, format="EDF", allow_preload=True, verbose="error")
    fast = [WHOLE, "--set=sfreq=250", "--set=high_hz=100", "--set=reference=original", "--set=window_s=16"]
    assert build(tmp_path / "ds", tmp_path / "sidecar", *fast).exit_code == 0
    assert build(tmp_path / "ds", tmp_path / "option", *fast, "--set=line_from_sidecar=false").exit_code == 0
    spread = {name: windows(tmp_path / name).signals([0])[0].std() for name in ("sidecar", "option")}
    assert spread["option"] > 10
    assert spread["sidecar"] < 2


def test_workers_can_be_sent_the_reader() -> None:
    process = FileProcess(("Fz",), BidsOptions(), read_bids, line_from_file=True)
    assert pickle.loads(pickle.dumps(process)) == process


def test_only_some_tasks(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "d", WHOLE, '--set=tasks=["counting"]').exit_code == 0
    assert set(everything(tmp_path / "d", "recording")) == {"sub-01_ses-1_task-counting"}
    done = build(source, tmp_path / "e", WHOLE, '--set=tasks=["sleep"]')
    assert "holds no recordings of the task sleep" in done.stderr


def test_a_column_that_looks_like_the_health_is_pointed_at(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert build(source, tmp_path / "d", WHOLE).exit_code == 0
    assert "has a column 'Group', which is not used" in caplog.text
    assert set(everything(tmp_path / "d", "health")) == {None}
    done = build(source, tmp_path / "e", WHOLE, "--set=label_from=health")
    assert "label_from is health, but no recording says its health" in done.stderr


def edit(old: str, new: str) -> Callable[[Path], None]:
    def damage(source: Path) -> None:
        table = source / "participants.tsv"
        table.write_text(table.read_text().replace(old, new))

    return damage


def remove_recordings(source: Path) -> None:
    for folder in source.glob("sub-*"):
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda source: (source / "participants.tsv").unlink(), "has no participants.tsv: point --source at"),
        (edit("sub-04\t59\tF\tHC\n", ""), "is of sub-04, who has no row in 'participants.tsv'"),
        (edit("participant_id", "id"), "has no column participant_id; its columns are: id, age"),
        (edit("\tHC", "\tcontrol"), "the health 'control', which values.health does not name; it names: PD, HC"),
        (edit("Group", "Arm"), "has no column 'Group', which columns.health names"),
        (edit("\t66\t", "\tsixty\t"), "sub-02 in 'participants.tsv' has the age 'sixty'"),
        (remove_recordings, "holds no recordings named"),
        (
            lambda source: next(source.rglob("sub-01*rest_eeg.edf")).write_bytes(b"nothing"),
            "sub-01_ses-1_task-rest_eeg.edf' is cut short",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    damage: Callable[[Path], object], sentence: str, source: Path, tmp_path: Path
) -> None:
    damage(source)
    done = build(source, tmp_path / "d", WHOLE, *HEALTH)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ds1"]


def test_the_windows_train_and_come_back_as_bids(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings, windows, a model of rest and counting, generated recordings that BIDS readers open."""
    registry = toy_registry(next(record for record in discover().plugins if record.name == "sd-data"))
    arguments = [
        "--channels",
        "Fz,Cz,Pz,Oz",
        "--interpolate",
        "--set=split_seed=3",
        *HEALTH,
    ]  # who counts is trained on
    assert build(source, tmp_path / "d", *arguments).exit_code == 0
    model = {"name": "toy", "conditioning": "classes"}
    (tmp_path / "run.toml").write_text(toy_config(tmp_path / "d", data={"representation": "timeseries"}, model=model))
    train(read_run(tmp_path / "run.toml", (), registry), tmp_path / "run", registry=registry)
    monkeypatch.setattr("sd_core.registry.discover", lambda: registry)
    arguments = [str(tmp_path / "run"), "-n", "2", "--class", "counting", "--to", "bids"]
    assert CliRunner().invoke(sample, arguments, catch_exceptions=False).exit_code == 0
    made, _ = find_recordings(BidsOptions(source=str(tmp_path / "run" / "samples" / "bids")))
    assert [recording.state for recording in made] == ["counting", "counting"]
    signals = read_bids(made[0])
    assert signals.names == ("Fz", "Cz", "Pz", "Oz")
    assert signals.data.shape == (4, 500)
