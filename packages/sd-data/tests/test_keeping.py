"""Builds that are killed go on where they were; those that are done leave nothing but the dataset."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from sd_core.plugin import SdError
from sd_core.windows.opening import read_meta
from sd_data.build import keeping
from sd_data.build.keeping import Keeping, windows_of
from sd_data.build.recordings import Outcome, Recording
from sd_data.cli import main
from sd_data.testing.recordings import WHOLE, eeg, write_edf

COUNT = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    for number in range(COUNT):
        write_edf(folder / f"r{number:02d}.edf", eeg(number))
    (folder / "recordings.csv").write_text("\n".join(["file,subject", *(f"r{i:02d}.edf,p{i}" for i in range(COUNT))]))
    return folder


def command(source: Path, out: Path) -> list[str]:
    return ["build", "files", "--source", str(source), "-o", str(out), "--set=window_s=4", WHOLE]


def build(source: Path, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*command(source, out), *arguments])


def kept(out: Path) -> list[Path]:
    # pathlib's star takes dots too, and names of halves begin with one.
    return sorted(out.with_name(f".{out.name}.building").glob("[!.]*.npz"))


SLOW = """
import sys, time
from sd_data.build import processing
from sd_data.cli import main
read = processing.read_signals
def slowly(*arguments):
    time.sleep(0.3)
    return read(*arguments)
processing.read_signals = slowly
main(sys.argv[1:])
"""


def test_a_killed_build_resumes(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SIGKILL in the middle: what was finished is not read again, and the dataset is the same to the bit."""
    out = tmp_path / "d"
    process = subprocess.Popen([sys.executable, "-c", SLOW, *command(source, out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(kept(out)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    done = kept(out)
    assert 3 <= len(done) < COUNT
    assert not out.exists()
    before = {path.name: path.stat().st_mtime_ns for path in done}
    with pytest.MonkeyPatch.context() as patch:
        # What is left in place when the build ends shows that the finished files were not written again.
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        assert build(source, out).exit_code == 0
    assert f"{len(done)} recordings were finished by an earlier build" in caplog.text
    assert {path.name: path.stat().st_mtime_ns for path in kept(out)}.items() >= before.items()
    assert build(source, tmp_path / "fresh").exit_code == 0
    assert read_meta(out)["splits"] == read_meta(tmp_path / "fresh")["splits"]
    assert read_meta(out)["report"] == read_meta(tmp_path / "fresh")["report"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_workers_end_with_a_killed_build(source: Path, tmp_path: Path) -> None:
    script = "import sys; from sd_data.cli import main; main(sys.argv[1:])"
    arguments = [sys.executable, "-c", script, *command(source, tmp_path / "d"), "--workers", "2"]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 40
    while not kept(tmp_path / "d") and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = _children(process.pid)
    assert workers
    process.kill()
    process.wait()
    while any(map(_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [worker for worker in workers if _alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert left == []


def _children(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    if not children.is_file():
        pytest.skip("needs /proc")
    return [int(child) for child in children.read_text().split()]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return state.is_file() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_was_made_with_other_options_or_of_other_samples_is_not_used(tmp_path: Path) -> None:
    calls: list[str] = []
    window = {"signal": np.ones((2, 5), np.float32), "start_s": 4.0}

    def process(recording: Recording, _overlap: float) -> Outcome:
        calls.append(recording.name)
        return Outcome(recording, [window], {"annotated as bad": 2}, ("Cz",))

    path = tmp_path / "r.edf"
    path.write_bytes(b"one")
    recording = Recording(
        corpus="x", subject="1", session="1", name="r", state="rest", gender=None, health=None, age=None, path=path
    )
    first = Keeping(process, tmp_path, "facts")(recording, 0.0)
    again = Keeping(process, tmp_path, "facts")(recording, 0.0)
    assert (calls, first.reused, again.reused) == (["r"], False, True)
    assert (again.rejected, again.interpolated) == ({"annotated as bad": 2}, ("Cz",))
    (found,) = windows_of(again)
    assert found["start_s"] == 4
    np.testing.assert_array_equal(found["signal"], window["signal"])
    Keeping(process, tmp_path, "other facts")(recording, 0.0)
    Keeping(process, tmp_path, "facts")(recording, 0.5)
    assert len(calls) == 3
    path.write_bytes(b"two")
    Keeping(process, tmp_path, "facts")(recording, 0.0)
    assert len(calls) == 4
    for content in (b"one", b"two"):  # a format that is a folder
        folder = tmp_path / "r.mff"
        folder.mkdir(exist_ok=True)
        (folder / "signal.bin").write_bytes(content)
        Keeping(process, tmp_path, "facts")(replace(recording, path=folder), 0.0)
    assert len(calls) == 6


def test_a_build_that_is_done_leaves_nothing_beside_the_dataset(source: Path, tmp_path: Path) -> None:
    assert build(source, tmp_path / "d", "--workers", "2").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["dataset_dict.json", "train", "windows.json"]


def test_a_refused_build_keeps_what_took_long(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Path(shutil.copytree(source, tmp_path / "lab"))
    write_edf(lab / "r05.edf", 0 * eeg(1))
    assert "is flat" in build(lab, tmp_path / "d").stderr
    assert kept(tmp_path / "d") == []
    monkeypatch.setattr(keeping, "_WORTH_KEEPING_S", 0.0)
    refused = build(lab, tmp_path / "d")
    assert "what was finished is kept in" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert len(kept(tmp_path / "d")) == 5
    assert build(lab, tmp_path / "d", "--skip-bad").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "lab"]


def test_two_builds_of_one_folder_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / ".d.building").mkdir()
    with FileLock(tmp_path / ".d.building" / "lock"):
        assert "another build of" in build(source, tmp_path / "d").stderr
    assert build(source, tmp_path / "d").exit_code == 0


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    recording = Recording(
        corpus="x", subject="1", session="1", name="r", state="rest", gender=None, health=None, age=None,
        path=tmp_path / "r.edf",
    )  # fmt: skip
    recording.path.write_bytes(b"x")  # type: ignore[union-attr]
    outcome = Outcome(recording, [{"signal": np.ones((1, 2), np.float32), "start_s": 0.0}])
    with pytest.raises(SdError, match="r cannot be kept in"):
        Keeping(lambda *_: outcome, tmp_path / "nowhere", "")(recording, 0.0)
