"""SEED-V on Neuroscan files made here: no file of the data set is at hand."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.plugin import SdError
from sd_core.windows.opening import read_meta
from sd_data.build.recordings import read_signals
from sd_data.cli import main
from sd_data.corpora.seedv import CHANNELS, EMOTIONS, TRIALS, find_recordings
from sd_data.testing.recordings import WHOLE, eeg, everything, windows

NAMES = (*(name.upper() for name in CHANNELS), "M1", "VEO")
"""The amplifier writes names in capitals."""
RATE, SECONDS = 125, 230
OFF = [f"--set={name}" for name in ("low_hz=0", "high_hz=0", "notch_hz=0", "reference=original", "window_s=4")]


def write_cnt(path: Path, signals: Any, rate: int = RATE) -> None:
    """A Neuroscan file of 32-bit samples without events, one step 1/204.8 uV (SETUP and ELECTLOC structures)."""
    count, samples = signals.shape
    header = bytearray(900)
    header[225:243] = b"08/04/18  10:00:00"
    table = 900 + 75 * count + 4 * count * samples
    for form, place, value in (("<H", 370, count), ("<H", 376, rate), ("<i", 864, samples), ("<i", 886, table)):
        struct.pack_into(form, header, place, value)
    electrodes = bytearray(75 * count)
    for number, name in enumerate(NAMES):
        struct.pack_into("10s", electrodes, 75 * number, name.encode())
        struct.pack_into("<f", electrodes, 75 * number + 59, 1.0)
        struct.pack_into("<f", electrodes, 75 * number + 71, 1.0)
    steps = np.round(signals * 204.8).astype("<i4").T.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + electrodes + steps + struct.pack("<Bll", 1, 0, 0))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, of whom the second came twice; 230 s, in which the first clips stand."""
    folder = tmp_path_factory.mktemp("seed-v")
    for number, name in enumerate(("10_1_20180507", "2_1_20180416", "2_2_20180417")):
        write_cnt(folder / "EEG_raw" / f"{name}.cnt", eeg(number, len(NAMES), SECONDS, RATE))
    return folder


def build(source: Path, out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["build", "seed-v", "--source", str(source), "-o", str(out), *OFF, *arguments])


def test_the_files_are_neuroscan_files(source: Path) -> None:
    path = next(source.rglob("10_1*.cnt"))
    signals = read_signals(path, (10.0, 12.0))
    assert (signals.names, signals.sfreq) == (NAMES, RATE)
    np.testing.assert_allclose(signals.data, eeg(0, len(NAMES), SECONDS, RATE)[:, 1250:1500], atol=0.003)
    with pytest.raises(SdError, match="ends at 230 s, before its stretch 200-240 s does"):
        read_signals(path, (200.0, 240.0))


def test_a_clip_is_a_recording(source: Path) -> None:
    recordings = find_recordings(str(source))
    assert len(recordings) == 45
    assert [recording.subject for recording in recordings] == 30 * ["02"] + 15 * ["10"]
    clips = {recording.name: (recording.session, recording.state, recording.span) for recording in recordings}
    assert clips["2_1_20180416_01"] == ("1", "happiness", (30, 102))
    assert clips["2_2_20180417_15"] == ("2", "disgust", (2741, 2817))


def test_windows_are_cut_out_of_their_clip(source: Path, tmp_path: Path) -> None:
    """The files end in the third clip of session 1 and before the end of the first of session 2."""
    refused = build(source, tmp_path / "d", WHOLE)
    assert refused.exit_code == 2
    assert "ends at 230 s, before its stretch 287-524 s does" in refused.stderr
    done = build(source, tmp_path / "d", WHOLE, "--skip-bad")
    assert done.exit_code == 0, done.output
    assert len(read_meta(tmp_path / "d")["report"]["skipped"]) == 41
    found = windows(tmp_path / "d")
    assert Counter(everything(tmp_path / "d", "label")) == {"happiness": 2 * 18, "fear": 2 * 24}
    row = list(zip(found.column("recording"), found.column("start_s"), strict=True)).index(("2_1_20180416_02", 8.0))
    expected = eeg(1, len(NAMES), SECONDS, RATE)[:20, (132 + 8) * RATE : (132 + 12) * RATE]
    np.testing.assert_allclose(found.signals([row])[0], expected - expected.mean(1, keepdims=True), atol=0.003)
    assert found.column("caption")[row] == "EEG of a healthy person, watching a film clip that evokes fear"


def test_the_published_times_are_in_order_and_every_emotion_comes_three_times() -> None:
    for trials in TRIALS.values():
        edges = [edge for start, stop, _ in trials for edge in (start, stop)]
        assert edges == sorted(set(edges))
        assert Counter(EMOTIONS[emotion] for *_, emotion in trials) == dict.fromkeys(EMOTIONS, 3)


def test_a_session_in_two_files_or_no_files_are_one_sentence(source: Path, tmp_path: Path) -> None:
    (tmp_path / "twice").mkdir()
    for name in ("1_1_20180804.cnt", "1_1_20180805.cnt"):
        (tmp_path / "twice" / name).touch()
    done = build(tmp_path / "twice", tmp_path / "d")
    assert "'1_1_20180804.cnt' and '1_1_20180805.cnt' are both session 1 of person 1" in done.stderr
    (tmp_path / "none").mkdir()
    assert "holds no files named N_S_DATE.cnt" in build(tmp_path / "none", tmp_path / "d").stderr
