"""The rooms of a build: electrodes, cleaning, cutting, splitting, captions."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sd_core.plugin import SdError, SignalInfo
from sd_data.build.assembling import Plan, build_corpus
from sd_data.build.captions import captions
from sd_data.build.cleaning import clean, filtered, resampled
from sd_data.build.cutting import cut
from sd_data.build.electrodes import CLASSICAL_19, canonical, expand, is_scalp, match
from sd_data.build.recordings import Outcome, Recording, Signals
from sd_data.build.splitting import split_subjects
from sd_data.options import CorpusOptions

INFO = SignalInfo(channel_names=CLASSICAL_19, n_samples=2048, sfreq=125.0)
PERSON = Recording(corpus="x", subject="1", session="1", name="r", state="rest", gender="F", health="H", age=21.0)
SHARES = (0.7, 0.15, 0.15)


@pytest.mark.parametrize("name", ["T3", "t7", "EEG T3", "EEG T3-REF", "T7-LE", "eeg t7", "T3.", "POL T3", "EEG_T7"])
def test_all_names_of_an_electrode_are_one(name: str) -> None:
    assert canonical(name) == "t7"


@pytest.mark.parametrize(
    ("name", "scalp"),
    [("EEG Fp1", True), ("AFF5h", False), ("CPz", True), ("Oz", True), ("T4", True), ("FCC1h", False), ("PO10", True),
     ("EEG A2-A1", False), ("A1", False), ("M2", False), ("ECG ECG", False), ("EOG1", False), ("STI 014", False),
     ("EEG Fp1-F7", False)],
)  # fmt: skip
def test_the_average_is_over_single_electrodes(name: str, scalp: bool) -> None:
    assert is_scalp(name) is scalp


def test_names_expand_and_match() -> None:
    assert expand((), ("Cz",)) == ("Cz",)
    assert expand(("1020-19", "Oz"), ()) == (*CLASSICAL_19, "Oz")
    assert match(("T7", "fz"), ("EEG Fz", "EEG T3", "EEG T3-2"), "r") == [1, 0]
    with pytest.raises(SdError, match="the same electrode twice: T3, T7"):
        expand(("T3", "Cz", "T7"), ())
    with pytest.raises(SdError, match="recording 'r' lacks the electrodes Oz; it has EEG Fz"):
        match(("Fz", "Oz"), ("EEG Fz",), "recording 'r'")


@pytest.mark.parametrize("rate", [500.0, 512.0, 1000.0, 2048.0, 100.0, 250.5])
def test_resampling_keeps_a_sine(rate: float) -> None:
    time = np.arange(round(20 * rate)) / rate
    offset = 20_000  # an amplifier's, in microvolts
    out = resampled(np.sin(2 * np.pi * 10 * time)[None] + offset, rate, 125.0)
    assert out.shape[1] == pytest.approx(2500, abs=1)
    expected = np.sin(2 * np.pi * 10 * np.arange(out.shape[1]) / 125) + offset
    np.testing.assert_allclose(out[0, 125:-125], expected[125:-125], rtol=0, atol=0.005)


def test_data_at_the_rate_is_not_touched() -> None:
    data = np.random.default_rng(0).standard_normal((2, 500))
    assert resampled(data, 125.0, 125.0) is data


def test_the_filter_keeps_the_band_and_stops_the_rest() -> None:
    time = np.arange(125 * 60) / 125
    options = CorpusOptions()
    for hertz, gain in ((0.05, 0.0), (2.0, 1.0), (10.0, 1.0), (40.0, 1.0), (50.0, 0.0), (58.0, 0.0)):
        out = filtered(np.sin(2 * np.pi * hertz * time)[None], options)[0, 1250:-1250]
        assert out.std() * np.sqrt(2) == pytest.approx(gain, abs=0.06), hertz


def recorded(names: tuple[str, ...] = ("Fz", "Cz", "Pz", "A2-A1"), seconds: float = 40) -> Signals:
    return Signals(names, 10 * np.random.default_rng(0).standard_normal((len(names), round(125 * seconds))), 125.0)


def test_the_average_is_over_the_whole_head_whatever_is_chosen() -> None:
    everything, _ = clean(recorded(), ("Fz", "Cz", "Pz", "A2-A1"), CorpusOptions(), "r")
    one, before = clean(recorded(), ("Pz",), CorpusOptions(), "r")
    np.testing.assert_allclose(one.data[0], everything.data[2])
    np.testing.assert_allclose(everything.data[:3].sum(axis=0), 0, atol=1e-9)
    assert not np.allclose(one.data, before.data)


def test_a_flat_channel_is_seen_although_the_average_would_hide_it() -> None:
    signals = recorded()
    signals.data[1] = 0
    with pytest.raises(SdError, match=r"r is flat \(below 0.5 uV\) in Cz"):
        clean(signals, ("Fz", "Cz", "Pz"), CorpusOptions(), "r")


def test_copies_of_one_channel_are_flat_once_the_average_is_gone(tmp_path: Path) -> None:
    signals = recorded()
    signals.data[:] = signals.data[0] + 0.002 * signals.data
    options = CorpusOptions(window_s=4.0, split=(1.0, 0.0, 0.0))
    channels = ("Fz", "Cz", "Pz")

    def process(recording: Recording, overlap: float) -> Outcome:
        windows, rejected = cut(*clean(signals, channels, options, "r"), options, overlap=overlap, where="r")
        return Outcome(recording, [{"signal": window, "start_s": start} for start, window in windows], rejected)

    outcome = process(PERSON, 0.0)
    assert not outcome.windows
    assert outcome.rejected == {"flat channel (below 0.5 uV)": int(signals.data.shape[1] / signals.sfreq / 4)}
    plan = Plan(corpus="x", recordings=[PERSON], channels=channels, process=process, options=options)
    sentence = r"the split 'train' has no windows: all were rejected \(flat channel \(below 0.5 uV\): \d+\)"
    with pytest.raises(SdError, match=sentence):
        build_corpus(tmp_path / "out", plan)


def test_a_bad_channel_that_nobody_uses_does_no_harm() -> None:
    signals = recorded(("Fz", "Cz", "ECG"))
    signals.data[2] = np.nan
    assert clean(signals, ("Fz",), CorpusOptions(), "r")[0].names == ("Fz",)
    signals.data[1, 3] = np.nan
    with pytest.raises(SdError, match="r holds NaN or infinite samples in Cz"):
        clean(signals, ("Fz",), CorpusOptions(), "r")
    assert clean(signals, ("Fz",), CorpusOptions(reference="original"), "r")[0].names == ("Fz",)


def cut_of(signals: Signals, overlap: float = 0.0, **options: Any) -> tuple[list[float], dict[str, int]]:
    kept, rejected = cut(signals, signals, CorpusOptions(window_s=4.0, **options), overlap=overlap, where="r")
    assert all(window.shape == (4, 500) and window.dtype == np.float32 for _, window in kept)
    return [start for start, _ in kept], rejected


def test_windows_stand_end_to_end_or_overlap() -> None:
    assert cut_of(recorded(seconds=14)) == ([0, 4, 8], {})
    assert cut_of(recorded(seconds=14), overlap=0.5) == ([0, 2, 4, 6, 8, 10], {})
    assert cut_of(recorded(seconds=4)) == ([0], {})
    with pytest.raises(SdError, match=r"r lasts 3.9\d* s, less than one window of 4 s"):
        cut_of(recorded(seconds=3.96))


def test_bad_windows_fall_out_by_reason() -> None:
    signals = recorded(seconds=20)
    signals.data[0, 500:1000] = 0
    signals.data[1, 1700] = -300
    marked = replace(signals, bad_spans=((15.9, 16.1),))
    starts, rejected = cut_of(marked)
    assert starts == [0, 8]
    assert rejected == {
        "flat channel (below 0.5 uV)": 1,
        "annotated as bad": 2,
    }
    assert cut_of(signals)[1]["amplitude of 250 uV or more"] == 1
    assert "amplitude of 250 uV or more" not in cut_of(signals, peak_uv=0.0)[1]


@given(st.integers(3, 60), st.integers(0, 5), st.integers(1, 4))
def test_every_subject_is_in_one_split(count: int, seed: int, groups: int) -> None:
    subjects = {f"s{i}": (i % groups,) for i in range(count)}
    split = split_subjects(subjects, SHARES, seed)
    assert list(split) == ["train", "validation", "test"]
    assert sorted(name for members in split.values() for name in members) == sorted(subjects)
    assert all(split.values())
    assert abs(len(split["train"]) - 0.7 * count) <= 1.5


def test_groups_are_spread_over_the_splits() -> None:
    subjects = {f"s{i:02d}": ("FM"[i % 2], ("H", "PD")[i // 2 % 2]) for i in range(80)}
    for members in split_subjects(subjects, SHARES, 3).values():
        counts = [sum(subjects[name] == group for name in members) for group in set(subjects.values())]
        assert len(counts) == 4
        assert max(counts) - min(counts) <= 1


def test_the_split_follows_the_seed_not_the_order() -> None:
    subjects = {f"s{i}": () for i in range(30)}
    backwards = dict(reversed(subjects.items()))
    assert split_subjects(subjects, SHARES, 0) == split_subjects(backwards, SHARES, 0)
    assert split_subjects(subjects, SHARES, 0) != split_subjects(subjects, SHARES, 1)


def test_a_share_of_nothing_leaves_the_split_out() -> None:
    assert split_subjects({"a": ()}, (1.0, 0.0, 0.0), 0) == {"train": ("a",)}
    assert list(split_subjects({"a": (), "b": ()}, (0.5, 0.0, 0.5), 0)) == ["train", "test"]
    with pytest.raises(SdError, match="2 subjects do not fill the splits train, validation, test"):
        split_subjects({"a": (), "b": ()}, SHARES, 0)


@pytest.mark.parametrize(
    ("change", "caption"),
    [
        ({}, "EEG of a healthy 21-year-old woman, at rest"),
        ({"age": 17.0, "gender": "M"}, "EEG of a healthy 17-year-old boy, at rest"),
        ({"age": 81.0, "gender": "M", "health": "PD"}, "EEG of an 81-year-old man with Parkinson's disease, at rest"),
        ({"age": None, "state": "arithmetic"}, "EEG of a healthy woman, during mental arithmetic"),
        ({"age": None, "gender": None, "health": None, "state": "sleep"}, "EEG of a person, sleep"),
        ({"age": None, "health": None, "state": "fear"}, "EEG of a woman, watching a film clip that evokes fear"),
        ({"age": 30.0, "health": None, "state": "unknown"}, "EEG of a 30-year-old woman"),
        ({"age": 18.0, "health": None}, "EEG of an 18-year-old woman, at rest"),
        ({"age": 11.0, "health": None}, "EEG of an 11-year-old girl, at rest"),
    ],
)
def test_captions_say_what_is_known(change: dict[str, Any], caption: str) -> None:
    short, full = captions(replace(PERSON, **change), INFO)
    assert short == caption
    assert full.startswith("A 16.4-second EEG recording with 19 electrodes at 125 Hz of ")
    assert full.endswith(".")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": (0.7, 0.2, 0.2)}, "must add up to 1, not 1.1"),
        ({"low_hz": 50.0}, "must be below high_hz"),
        ({"high_hz": 62.5}, "must be below half of sfreq"),
        ({"sfreq": 80.0}, "greater than or equal to 90"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        CorpusOptions(**options)


def test_memory_does_not_grow_with_the_number_of_recordings(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        people = [replace(PERSON, subject=str(i), name=str(i)) for i in range(count)]
        signal = np.random.default_rng(0).standard_normal((20, 2048))
        whole = CorpusOptions(split=(1.0, 0.0, 0.0))
        plan = Plan(
            corpus="x",
            recordings=people,
            channels=(*CLASSICAL_19, "Oz"),
            process=lambda recording, _: Outcome(recording, [{"signal": signal.astype(np.float32), "start_s": 0.0}]),
            options=whole,
        )
        tracemalloc.start()
        build_corpus(tmp_path / str(count), plan)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(220), peak(500)  # 36 and 82 MB of windows, in batches of 16
    assert many < 1.1 * few
