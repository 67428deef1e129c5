"""A folder of recordings and a table: what is read, what is refused, and how it says so."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.plugin import SdError
from sd_core.testing.corpus import CorpusContract
from sd_core.windows.opening import read_meta
from sd_data.build.electrodes import CLASSICAL_19
from sd_data.build.interpolating import interpolated, spline_weights
from sd_data.build.recordings import Signals, read_signals
from sd_data.cli import main
from sd_data.corpora.files import FilesCorpus
from sd_data.corpora.options import FilesOptions
from sd_data.testing.recordings import WHOLE, eeg, everything, raw_of, windows, write_edf

TABLE = """file,subject,session,state,gender,health,age,caption
a.edf,p1,1,rest,F,H,31,
b.fif,p1,1,task,f,H,31,a sentence of our own
deep/c.edf,p2,1,rest,male,PD,n/a,
d.edf,p3,2,,,,,
"""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "lab"
    for number, name in enumerate(("a.edf", "deep/c.edf", "d.edf")):
        write_edf(folder / name, eeg(number))
    raw_of(eeg(7)).save(folder / "b.fif", verbose="error")
    (folder / "recordings.csv").write_text(TABLE)
    (folder / "notes.txt").write_text("no recording")
    return folder


@pytest.fixture
def source(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "lab"))


def build(source: Path, out: Path, *arguments: str) -> Result:
    command = ["build", "files", "--source", str(source), "-o", str(out), "--set", "window_s=4", *arguments]
    return CliRunner().invoke(main, command)


class TestFiles(CorpusContract):
    folder: Path

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _source(cls, pristine: Path) -> None:
        cls.folder = pristine

    def corpus(self) -> FilesCorpus:
        return FilesCorpus(FilesOptions(source=str(self.folder), window_s=4.0))


def test_labels_come_from_the_table(source: Path, tmp_path: Path) -> None:
    done = build(source, tmp_path / "d", WHOLE)
    assert done.exit_code == 0, done.output
    found = windows(tmp_path / "d")
    columns = ("recording", "subject", "session", "state", "gender", "health", "age", "label", "corpus")
    rows = set(zip(*(found.column(name) for name in columns), strict=True))
    assert rows == {
        ("a", "p1", "1", "rest", "F", "H", 31.0, "rest", "lab"),
        ("b", "p1", "1", "task", "F", "H", 31.0, "task", "lab"),
        ("deep/c", "p2", "1", "rest", "M", "PD", None, "rest", "lab"),
        ("d", "p3", "2", "unknown", None, None, None, "unknown", "lab"),
    }
    captions = dict(zip(found.column("recording"), found.column("caption"), strict=True))
    assert captions["b"] == "a sentence of our own"
    assert captions["d"] == "EEG of a person"
    assert captions["deep/c"] == "EEG of a man with Parkinson's disease, at rest"


def test_a_table_in_the_labs_own_words(source: Path, tmp_path: Path) -> None:
    """Another separator, other names of columns, other words in the cells, a byte order mark."""
    (source / "recordings.csv").write_text(
        "File;Code;Sex;Group;Hand\na.edf;p1;2;patient;R\nb.fif;p1;2;patient;R\ndeep/c.edf;p2;1;control;L\n"
        "d.edf;p3;0;control;L\n",
        encoding="utf-8-sig",
    )
    done = build(
        source, tmp_path / "d", WHOLE, "--set=corpus=ours", "--set=label_from=health", "--set=ignore=['Hand']",
        '--set=columns={subject="Code", gender="Sex", health="Group"}',
        '--set=values={gender={1="M", 2="F", 0=""}, health={patient="stroke", control="H"}}',
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = windows(tmp_path / "d")
    assert set(found.column("corpus")) == {"ours"}
    rows = set(zip(*(found.column(name) for name in ("recording", "gender", "health", "label")), strict=True))
    assert rows == {
        ("a", "F", "stroke", "stroke"),
        ("b", "F", "stroke", "stroke"),
        ("deep/c", "M", "H", "H"),
        ("d", None, "H", "H"),
    }


def test_the_licence_stands_in_the_dataset(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "d", WHOLE, "--set", "license=CC0").exit_code == 0
    assert read_meta(tmp_path / "d")["about"] == {
        "source": "files of the folder 'lab'",
        "licence": "CC0",
        "synthetic": False,
    }


def edit(old: str, new: str) -> Callable[[Path], None]:
    def damage(source: Path) -> None:
        table = source / "recordings.csv"
        assert old in table.read_text()
        table.write_text(table.read_text().replace(old, new))

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda source: (source / "a.edf").unlink(), "named in row 2 of 'recordings.csv', does not exist"),
        (lambda source: write_edf(source / "new.edf", eeg(1)), "new.edf' has no row in 'recordings.csv'"),
        (lambda source: (source / "recordings.csv").unlink(), "recordings.csv' is missing"),
        (lambda source: (source / "recordings.csv").write_text("file,subject\n"), "has no rows"),
        (shutil.rmtree, "there is no folder"),
        (edit("health", "diagnosis"), "mean nothing here: diagnosis; known are file, subject"),
        (edit("subject", "who"), "has no column subject; its columns are: file, who, session"),
        (edit("p3", ""), "row 5 of "),
        (edit("male", "x"), "has the gender 'x', which is neither F nor M"),
        (edit("a.edf,p1,1,rest,F,H,31", "a.edf,p1,1,rest,F,H,old"), "has the age 'old', which is not a number"),
        (edit("task,f,H", "task,m,H"), "subject 'p1' contradict each other: gender is F for a and M for b"),
        (edit("task,f,H,31", "task,f,H,32"), "age is 31.0 for a and 32.0 for b"),
        (edit("b.fif", "a.edf"), "names the file 'a.edf' twice"),
        (lambda source: (source / "b.fif").write_bytes(b"nothing"), "b.fif' cannot be read"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    damage: Callable[[Path], None], sentence: str, source: Path, tmp_path: Path
) -> None:
    damage(source)
    done = build(source, tmp_path / "d", WHOLE)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "lab"] == []


def test_missing_and_unlisted_files_are_left_out_on_request(source: Path, tmp_path: Path) -> None:
    (source / "a.edf").unlink()
    write_edf(source / "new.edf", eeg(1))
    assert build(source, tmp_path / "d", WHOLE, "--skip-bad").exit_code == 0
    assert list(read_meta(tmp_path / "d")["report"]["skipped"]) == ["a.edf", "new.edf"]


def test_where_every_recording_is_left_out_the_first_reason_is_told(source: Path, tmp_path: Path) -> None:
    done = build(source, tmp_path / "d", WHOLE, "--channels=Fz,Iz", "--skip-bad")
    assert done.exit_code == 2
    assert "the split 'train' has no windows: all its recordings were left out (4), the first because" in done.stderr
    assert "a.edf' lacks the electrodes Iz" in done.stderr


def test_values_that_a_map_does_not_name_are_refused(source: Path, tmp_path: Path) -> None:
    done = build(source, tmp_path / "d", WHOLE, '--set=values={health={H="H"}}')
    assert "row 4" in done.stderr
    assert "the health 'PD', which values.health does not name" in done.stderr
    done = build(source, tmp_path / "d", WHOLE, '--set=values={sex={H="H"}}')
    assert "values names sex; it may name: file, subject" in done.stderr


def test_electrodes_at_several_rates_are_refused(tmp_path: Path) -> None:
    parts = [
        edfio.EdfSignal(eeg(1, 1, sfreq=rate)[0], rate, label=name, physical_range=(-400, 400))
        for name, rate in (("Fz", 250.0), ("Cz", 125.0), ("Resp", 50.0))
    ]
    edfio.Edf(parts, data_record_duration=1).write(tmp_path / "a.edf")
    with pytest.raises(SdError, match=r"a.edf' mixes rates of electrodes \(Cz at 125 Hz, Fz at 250 Hz\)"):
        read_signals(tmp_path / "a.edf")
    edfio.Edf(parts[1:], data_record_duration=1).write(tmp_path / "b.edf")
    assert read_signals(tmp_path / "b.edf").sfreq == 125


FORMATS = {
    "test.edf": (139, 512.0, 6.0),
    "test.bdf": (73, 2048.0, 1.0),
    "test.vhdr": (32, 1000.0, 7.9),
    "eeglab_data.set": (32, 128.0, 238.3),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads(name: str, real_data: Path) -> None:
    path = real_data / "formats" / name
    if not path.is_file():
        pytest.skip(f"no {path.name} in formats/")
    channels, sfreq, seconds = FORMATS[name]
    signals = read_signals(path)
    assert (signals.data.shape[0], signals.sfreq) == (channels, sfreq)
    assert signals.data.shape[1] == pytest.approx(seconds * sfreq, abs=0.1 * sfreq)
    spread = np.median(signals.data.std(axis=1))
    assert 0.01 < spread < 1000  # microvolts, not volts; the EDF and BDF files hold test signals


def test_real_files_of_three_formats_become_windows(real_data: Path, tmp_path: Path) -> None:
    """128, 1000 and 2048 Hz, three makers of amplifiers, one rate and one set of electrodes."""
    names = [name for name in FORMATS if name != "test.edf"]  # intracranial
    if not all((real_data / "formats" / name).is_file() for name in names):
        pytest.skip("no formats/ beside eegmat")
    source = Path(shutil.copytree(real_data / "formats", tmp_path / "lab"))
    (source / "test.edf").unlink()
    table = "\n".join(["file,subject", *(f"{name},p{i}" for i, name in enumerate(names))])
    (source / "recordings.csv").write_text(table)
    short = ["--set=window_s=1", "--set=peak_uv=0", "--set=flat_uv=0", "--set=low_hz=0", "--set=overlap=0.5"]
    done = build(source, tmp_path / "d", WHOLE, "--channels", "Fz,Cz,T5,T6,Pz", *short)
    assert done.exit_code == 0, done.output
    counts = Counter(everything(tmp_path / "d", "recording"))
    assert counts == {"test.bdf": 1, "test.vhdr": 14, "eeglab_data": 479}


def test_interpolation_is_asked_for(source: Path, tmp_path: Path) -> None:
    names = tuple(name for name in CLASSICAL_19 if name != "T7")
    write_edf(source / "a.edf", eeg(1)[:18], names)
    raw = raw_of(eeg(7))
    raw.info["bads"] = ["Cz"]
    raw.save(source / "b.fif", overwrite=True, verbose="error")
    refused = build(source, tmp_path / "d", WHOLE)
    assert "a.edf' lacks the electrodes T7" in refused.stderr
    assert "--interpolate" in refused.stderr
    done = build(source, tmp_path / "d", WHOLE, "--interpolate")
    assert done.exit_code == 0, done.output
    assert read_meta(tmp_path / "d")["report"]["interpolated"] == {"a": ["T7"], "b": ["Cz"]}
    assert "interpolated electrodes in 2 recordings" in done.output
    homeless = build(source, tmp_path / "e", WHOLE, "--interpolate", "--channels", "Cz,A2-A1")
    assert "lacks A2-A1, which cannot be interpolated: no place on the scalp" in homeless.stderr


def test_bad_electrodes_are_refused_by_name(source: Path, tmp_path: Path) -> None:
    raw = raw_of(eeg(7))
    raw.info["bads"] = ["Cz"]
    raw.save(source / "b.fif", overwrite=True, verbose="error")
    refused = build(source, tmp_path / "d", WHOLE)
    assert "b.fif' marks Cz as bad: compute them from their neighbours with --interpolate" in refused.stderr
    done = build(source, tmp_path / "d", WHOLE, "--channels", "Fz,Pz")
    assert done.exit_code == 0
    recorded = read_meta(tmp_path / "d")["report"]["recordings"]
    assert f"recorded, but in no window: C3 ({recorded} recordings)" in done.output
    assert read_meta(tmp_path / "d")["report"]["unused"]["Cz"] == recorded


def test_splines_equal_mne_and_know_the_scalp() -> None:
    present = tuple(name for name in CLASSICAL_19 if name != "Cz")
    signals = Signals(tuple("T3" if name == "T7" else name for name in present), eeg(3, 18, 4), 125.0)
    ours = interpolated(signals, ["CZ"], "r")
    info = mne.create_info([*present, "Cz"], 125.0, "eeg")
    info.set_montage("colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005")
    info["bads"] = ["Cz"]
    raw = mne.io.RawArray(np.vstack([signals.data, np.zeros((1, 500))]), info, verbose="error")
    np.testing.assert_allclose(ours[0], raw.interpolate_bads(verbose="error").get_data()[-1], atol=1e-8)
    weights = dict(zip(present, spline_weights(present, ("Cz",))[0], strict=True))
    assert min(weights[name] for name in ("C3", "C4", "Fz", "Pz")) > max(weights[name] for name in ("Fp1", "O1", "T8"))
    with pytest.raises(SdError, match="r has 7 electrodes to interpolate Cz from; 8 are needed"):
        interpolated(Signals(signals.names[:7], signals.data[:7], 125.0), ["Cz"], "r")


def test_a_dead_electrode_does_not_enter_the_spline() -> None:
    present = tuple(name for name in CLASSICAL_19 if name not in ("Cz", "Fz"))
    alive = Signals(present, eeg(3, 17, 4), 125.0)
    dead = Signals((*present, "Fz"), np.vstack([alive.data, np.zeros((1, 500))]), 125.0)
    np.testing.assert_allclose(interpolated(alive, ["Cz"], "r"), interpolated(dead, ["Cz"], "r"))
