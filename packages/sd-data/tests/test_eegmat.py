"""Recordings become windows; what cannot is refused by one sentence, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.testing.corpus import CorpusContract
from sd_core.windows.opening import open_split, read_meta
from sd_core.windows.reading import WindowSet
from sd_data.cli import main
from sd_data.corpora.eegmat import CHANNELS, EegmatCorpus, find_recordings
from sd_data.options import EegmatOptions

NAMES = [f"EEG {name}" for name in CHANNELS]
SMALL = ["--set", "window_s=4"]
TABLE = "Subject,Age,Gender,Recording year,Number of subtractions,Count quality\n"


def write_edf(path: Path, signals: Any, names: list[str], sfreq: float = 125.0) -> None:
    parts = [
        edfio.EdfSignal(row, sfreq, label=name, physical_dimension="uV", physical_range=(-400, 400))
        for name, row in zip(names, signals, strict=True)
    ]
    edfio.Edf(parts, data_record_duration=1).write(path)


def eeg(number: int, seconds: int = 20, sfreq: float = 125.0) -> Any:
    return 12 * np.random.default_rng(number).standard_normal((len(NAMES), round(seconds * sfreq)))


def made_up(folder: Path, subjects: int = 3) -> Path:
    """A folder as PhysioNet lays it out, with noise in the files."""
    folder.mkdir(parents=True)
    lines = [f"Subject{i:02d},{20 + i},{'FM'[i % 2]},2011,9.7,0" for i in range(subjects)]
    (folder / "subject-info.csv").write_text(TABLE + "\n".join(lines) + "\n")
    for subject in range(subjects):
        for state in (1, 2):
            write_edf(folder / f"Subject{subject:02d}_{state}.edf", eeg(10 * subject + state), NAMES)
    return folder


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("pristine") / "eegmat")


@pytest.fixture
def source(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "source"))


def build(source: Path, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["build", "eegmat", "--source", str(source), "-o", str(out), *SMALL, *arguments])


def windows(out: Path, split: str = "train", **arguments: Any) -> WindowSet:
    found = open_split(out, split, **arguments)
    assert isinstance(found, WindowSet)
    return found


def everything(out: Path, column: str) -> list[Any]:
    return [value for split in ("train", "validation", "test") for value in windows(out, split).column(column)]


class TestEegmat(CorpusContract):
    folder: Path

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _source(cls, pristine: Path) -> None:
        cls.folder = pristine

    def corpus(self) -> EegmatCorpus:
        return EegmatCorpus(EegmatOptions(source=str(self.folder), window_s=4.0))


def test_labels_join_by_subject_and_state(source: Path, tmp_path: Path) -> None:
    rows = (source / "subject-info.csv").read_text().splitlines()
    (source / "subject-info.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]))
    assert build(source, tmp_path / "d").exit_code == 0
    people = set(zip(*(everything(tmp_path / "d", name) for name in ("subject", "gender", "age")), strict=True))
    assert people == {("Subject00", "F", 20.0), ("Subject01", "M", 21.0), ("Subject02", "F", 22.0)}
    states = set(zip(everything(tmp_path / "d", "recording"), everything(tmp_path / "d", "label"), strict=True))
    assert {("Subject00_1", "rest"), ("Subject02_2", "arithmetic")} <= states
    assert len(states) == 6


def test_windows_are_the_recording_cut_and_cleaned(source: Path, tmp_path: Path) -> None:
    """With filters and reference off, a window is a stretch of the file without its mean, in microvolts."""
    off = ["low_hz=0", "high_hz=0", "notch_hz=0", "reference=original"]
    assert build(source, tmp_path / "d", *(f"--set={setting}" for setting in off)).exit_code == 0
    found = windows(tmp_path / "d")
    row = found.column("start_s").index(8.0)
    raw = mne.io.read_raw_edf(source / f"{found.column('recording')[row]}.edf", verbose="error")
    expected = 1e6 * raw.get_data(start=1000, stop=1500)
    np.testing.assert_allclose(found.signals([row])[0], expected - expected.mean(1, keepdims=True), atol=1e-3)


def test_the_ears_stay_out_of_the_average_reference(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "d").exit_code == 0
    assert build(source, tmp_path / "as-recorded", "--set=reference=original").exit_code == 0
    average, original = windows(tmp_path / "d").signals([0, 1]), windows(tmp_path / "as-recorded").signals([0, 1])
    np.testing.assert_allclose(average[:, :19].mean(axis=1), 0, atol=1e-4)
    np.testing.assert_array_equal(average[:, 19], original[:, 19])


def test_channels_are_chosen_by_any_of_their_names_in_any_order(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "all").exit_code == 0
    assert build(source, tmp_path / "few", "--channels", "P7,cz, T4").exit_code == 0
    few, found = windows(tmp_path / "few"), windows(tmp_path / "all")
    assert few.info.channel_names == ("P7", "cz", "T4")
    rows = [CHANNELS.index(name) for name in ("T5", "Cz", "T4")]
    np.testing.assert_array_equal(few.signals([3]), found.signals([3])[:, rows])
    assert build(source, tmp_path / "named", "--channels", "1020-19").exit_code == 0
    assert windows(tmp_path / "named").info.n_channels == 19


def test_overlap_is_for_the_train_split_alone(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "d", "--set=overlap=0.5").exit_code == 0
    assert windows(tmp_path / "d").column("start_s")[:9] == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert windows(tmp_path / "d", "test").column("start_s")[:5] == [0, 4, 8, 12, 16]


def test_the_label_may_come_from_elsewhere(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "d", "--set=label_from=gender").exit_code == 0
    assert everything(tmp_path / "d", "label") == everything(tmp_path / "d", "gender")


def test_workers_change_nothing(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "one").exit_code == 0
    assert build(source, tmp_path / "two", "--workers", "2").exit_code == 0
    assert read_meta(tmp_path / "one")["splits"] == read_meta(tmp_path / "two")["splits"]


def spoil(kind: str, path: Path) -> None:
    """Damage one recording."""
    signals, names, sfreq = eeg(1), list(NAMES), 125.0
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
        return
    if kind == "header":
        path.write_bytes(path.read_bytes()[:100])
        return
    if kind == "not an edf":
        path.write_bytes(b"<html>" * 3000)
        return
    if kind == "nan":
        content = bytearray(path.read_bytes())
        field = 256 + len(NAMES) * 104 + 8 * 3  # the physical minimum of F4
        content[field : field + 8] = b"nan     "
        path.write_bytes(content)
        return
    if kind == "flat":
        signals[NAMES.index("EEG Cz")] = 0.1 * signals[0] / signals[0].std()
    if kind == "electrode":
        names[NAMES.index("EEG O1")] = "EEG X1"
    if kind == "short":
        signals = signals[:, :375]
    if kind == "slow":
        signals, sfreq = signals[:, :1600], 80.0
    write_edf(path, signals, names, sfreq)


PROBLEMS = {
    "truncated": r"cut short: \d+ bytes of \d+",
    "header": "cut short: it ends inside its header",
    "not an edf": "cannot be read",
    "nan": "holds NaN or infinite samples in EEG F4",
    "flat": r"is flat \(below 0.5 uV\) in Cz",
    "electrode": "lacks the electrodes O1; it has EEG Fp1",
    "short": "lasts 3 s, less than one window of 4 s",
    "slow": "is sampled at 80 Hz, below 90 Hz",
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_bad_recording_is_one_sentence_or_counted(kind: str, source: Path, tmp_path: Path) -> None:
    spoil(kind, source / "Subject01_2.edf")
    refused = build(source, tmp_path / "d")
    assert refused.exit_code == 2
    sentence = refused.stderr.strip().removeprefix("Error: ")
    assert "\n" not in sentence
    assert "Subject01_2.edf" in sentence
    assert re.search(PROBLEMS[kind], sentence)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    skipped = build(source, tmp_path / "d", "--skip-bad")
    assert skipped.exit_code == 0
    assert list(read_meta(tmp_path / "d")["report"]["skipped"]) == ["Subject01_2"]
    assert "left out Subject01_2" in skipped.stdout
    assert "Subject01_2" not in everything(tmp_path / "d", "recording")


def remove_column(source: Path) -> None:
    table = source / "subject-info.csv"
    table.write_text(table.read_text().replace("Gender", "Sex"))


def remove_row(source: Path) -> None:
    table = source / "subject-info.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if "Subject01" not in line))


def word_as_age(source: Path) -> None:
    table = source / "subject-info.csv"
    table.write_text(table.read_text().replace("Subject01,21", "Subject01,old"))


def remove_files(source: Path) -> None:
    for path in source.glob("*.edf"):
        path.unlink()


def keep_two(source: Path) -> None:
    for path in source.glob("Subject02*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (remove_column, "has no column Gender; its columns are: Subject, Age, Sex"),
        (remove_row, "has no row for Subject01"),
        (word_as_age, "the age of Subject01 is 'old'"),
        (remove_files, "holds no files named SubjectNN_1.edf"),
        (keep_two, "2 subjects do not fill the splits train, validation, test"),
        (lambda source: (source / "subject-info.csv").unlink(), "subject-info.csv' is missing"),
        (shutil.rmtree, "there is no folder"),
    ],
)
def test_a_bad_folder_is_one_sentence(
    damage: Callable[[Path], None], sentence: str, source: Path, tmp_path: Path
) -> None:
    damage(source)
    refused = build(source, tmp_path / "d")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert sentence in refused.stderr
    assert not (tmp_path / "d").exists()


def test_a_split_that_loses_all_its_windows_is_refused(source: Path, tmp_path: Path) -> None:
    build(source, tmp_path / "whole")
    lost = windows(tmp_path / "whole", "test").column("subject")[0]
    for path in source.glob(f"{lost}_*.edf"):
        spoil("flat", path)
    refused = build(source, tmp_path / "d", "--skip-bad")
    assert refused.exit_code == 2
    assert "the split 'test' has no windows" in refused.stderr
    assert not (tmp_path / "d").exists()


def test_bad_windows_are_counted_by_reason(source: Path, tmp_path: Path) -> None:
    signals = eeg(1)
    signals[5, 520:980] *= 0.001  # within the second window
    signals[2, 1600] = 390
    signals[2, 1601:1640] = 390
    write_edf(source / "Subject00_1.edf", signals, NAMES)
    built = build(source, tmp_path / "d", "--set=peak_uv=150")
    assert built.exit_code == 0
    report = read_meta(tmp_path / "d")["report"]
    assert report["rejected"]["amplitude of 150 uV or more"] == 1
    assert report["windows"] == len(everything(tmp_path / "d", "start_s")) == 6 * 5 - 1
    assert "rejected 1 windows: amplitude of 150 uV or more" in built.stdout


def test_real_recordings(real_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("subject-info.csv", *(f"Subject0{i}_{j}.edf" for i in range(3) for j in (1, 2))):
        shutil.copy(real_data / "eegmat" / name, source / name)
    built = CliRunner().invoke(main, ["build", "eegmat", "--source", str(source), "-o", str(tmp_path / "d")])
    assert built.exit_code == 0, built.stderr
    found = windows(tmp_path / "d")
    assert str(found.info) == "20 channels x 2048 samples at 125 Hz"
    counts = {name: everything(tmp_path / "d", "recording").count(name) for name in ("Subject00_1", "Subject00_2")}
    assert counts == {"Subject00_1": 11, "Subject00_2": 3}
    signals = found.signals(range(len(found)))
    spectrum = (np.abs(np.fft.rfft(signals[:, :19])) ** 2).mean(axis=(0, 1))
    hertz = np.fft.rfftfreq(2048, 1 / 125)
    slow, alpha, line = (spectrum[(hertz > a) & (hertz < b)].mean() for a, b in ((0.05, 0.2), (9, 12), (49, 51)))
    assert alpha > 1e3 * line
    assert alpha > 20 * slow


def test_500_hz_recordings_give_the_windows_of_their_125_hz_copies(real_data: Path, tmp_path: Path) -> None:
    """The project's 125 Hz copies were resampled by others; ours of the published file agree with them."""
    if not (real_data / "eegmat_500hz").is_dir():
        pytest.skip("no eegmat_500hz beside eegmat")
    whole = "--set=split=[1,0,0]"
    slow = tmp_path / "source"
    slow.mkdir()
    for path in (real_data / "eegmat_500hz").iterdir():
        shutil.copy(real_data / "eegmat" / path.name, slow / path.name)
    assert build(real_data / "eegmat_500hz", tmp_path / "500", whole).exit_code == 0
    assert build(slow, tmp_path / "125", whole).exit_code == 0
    fast, copy = windows(tmp_path / "500"), windows(tmp_path / "125")
    assert fast.column("start_s") == copy.column("start_s")
    rows = range(len(copy))
    a, b = (inside_the_band(found.signals(rows)) for found in (fast, copy))
    correlation = (a * b).sum(axis=2) / np.sqrt((a**2).sum(axis=2) * (b**2).sum(axis=2))
    assert correlation.min() > 0.999  # of every window and channel
    assert (a - b).std() < 0.02 * b.std()


def inside_the_band(signals: Any) -> Any:
    """1-40 Hz: away from the edges of the band-pass."""
    spectrum, hertz = np.fft.rfft(signals), np.fft.rfftfreq(signals.shape[-1], 1 / 125)
    return np.fft.irfft(spectrum * ((hertz > 1) & (hertz < 40)), n=signals.shape[-1])


def test_the_recordings_of_a_folder_come_in_order(pristine: Path) -> None:
    assert [recording.name for recording in find_recordings(str(pristine))] == [
        f"Subject{i:02d}_{j}" for i in range(3) for j in (1, 2)
    ]
