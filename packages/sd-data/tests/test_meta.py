"""Several datasets as one: nothing repeated, nobody in two splits, weights shown before they are used."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.task import SignalInfo
from sd_core.testing.windows import CLASSES, MINIATURE, made_up_rows, write_miniature
from sd_core.windows.opening import META_FILE, read_meta
from sd_core.windows.writing import write_windows
from sd_data.cli import main
from sd_data.testing.recordings import everything, windows


def write_part(
    out: Path, corpus: str, *, info: SignalInfo = MINIATURE, count: int = 8, first: int = 0, **labels: Any
) -> Path:
    """A dataset with the same labels in every row; people are numbered from `first`, 100 on in every split."""
    splits = {
        split: [{**row, "corpus": corpus, **labels} for row in made_up_rows(size, info, first_subject=first + 100 * i)]
        for i, (split, size) in enumerate({"train": count, "validation": 2, "test": 2}.items())
    }
    write_windows(out, splits, info, {"corpus": corpus}, classes=CLASSES)
    return out


def join(out: Path, *parts: Path, more: tuple[str, ...] = ()) -> Result:
    names = json.dumps([str(part) for part in parts])
    return CliRunner().invoke(main, ["build", "meta", "-o", str(out), "--set", f"parts={names}", *more])


def test_parts_keep_their_splits_and_lose_nothing(tmp_path: Path) -> None:
    a = write_part(tmp_path / "a", "one", gender="F")
    b = write_part(tmp_path / "b", "two", count=4, extra="only here")
    done = join(tmp_path / "all", a, b)
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()[2:5]] == [
        ["train", "6", "12"],
        ["validation", "2", "4"],
        ["test", "2", "4"],
    ]
    for split in ("train", "validation", "test"):
        joint, parts = windows(tmp_path / "all", split), [windows(part, split) for part in (a, b)]
        expected = np.concatenate([part.signals(range(len(part))) for part in parts])
        np.testing.assert_array_equal(joint.signals(range(len(joint))), expected)
        assert joint.column("corpus") == [name for part in parts for name in part.column("corpus")]
        assert joint.column("label") == joint.column("state")
    assert set(zip(everything(tmp_path / "all", "corpus"), everything(tmp_path / "all", "extra"), strict=True)) == {
        ("one", None),
        ("two", "only here"),
    }
    meta = read_meta(tmp_path / "all")
    assert [part["name"] for part in meta["parts"]] == ["a", "b"]
    assert meta["splits"]["train"]["windows"] == 12


def test_electrodes_are_matched_by_name(tmp_path: Path) -> None:
    info = SignalInfo(channel_names=("T7", "Cz", "Fz"), n_samples=256, sfreq=125.0, reference="average")
    a, b = write_part(tmp_path / "a", "one"), write_part(tmp_path / "b", "two", info=info)
    refused = join(tmp_path / "all", a, b)
    assert refused.exit_code == 2
    assert "b' lacks the electrodes Pz, A2-A1: take those that all parts have, as in --channels Fz,Cz" in refused.stderr
    assert join(tmp_path / "all", a, b, more=("--channels", "fz,Cz")).exit_code == 0
    joint, part = windows(tmp_path / "all"), windows(b)
    assert joint.info.channel_names == ("fz", "Cz")
    np.testing.assert_array_equal(joint.signals([8])[0], part.signals([0])[0][[2, 1]])


def test_the_label_may_be_the_corpus(tmp_path: Path) -> None:
    a, b = write_part(tmp_path / "a", "one"), write_part(tmp_path / "b", "two", state="sleep", label=None)
    assert join(tmp_path / "all", a, b, more=("--set", "label_from=corpus")).exit_code == 0
    assert windows(tmp_path / "all").classes("label") == ("one", "two")
    assert join(tmp_path / "states", a, b).exit_code == 0
    assert windows(tmp_path / "states").classes("label") == ("rest", "arithmetic", "sleep")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sfreq": 250.0}, "the sampling rate of '.*b' is 250 Hz, of '.*a' 125 Hz: build them alike"),
        ({"n_samples": 200}, "the window of '.*b' is 200 samples, of '.*a' 256 samples"),
        ({"unit": "nT"}, "the unit of '.*b' is nT, of '.*a' uV"),
        ({"reference": "original"}, "the reference of '.*b' is original, of '.*a' average"),
    ],
)
def test_parts_of_another_geometry_are_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    geometry = {
        "channel_names": MINIATURE.channel_names,
        "n_samples": MINIATURE.n_samples,
        "sfreq": MINIATURE.sfreq,
        "reference": MINIATURE.reference,
    }
    a = write_part(tmp_path / "a", "one")
    b = write_part(tmp_path / "b", "two", info=SignalInfo(**{**geometry, **change}))
    refused = join(tmp_path / "all", a, b)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert re.search(sentence, refused.stderr)
    assert not (tmp_path / "all").exists()


def test_every_licence_of_a_part_holds(tmp_path: Path) -> None:
    parts = [write_part(tmp_path / name, name) for name in ("a", "b", "c", "d")]
    for part, licence in zip(parts, ("CC0", "ODC-By 1.0", "CC0", None), strict=True):
        about = {"licence": licence} if licence else {}
        (part / META_FILE).write_text(json.dumps({**read_meta(part), "about": about}))
    assert join(tmp_path / "all", *parts).exit_code == 0
    both = {"licence": "CC0; ODC-By 1.0", "synthetic": False}
    assert read_meta(tmp_path / "all")["about"] == both
    later = write_part(tmp_path / "e", "e")
    (later / META_FILE).write_text(json.dumps({**read_meta(later), "about": {"licence": "ODC-By 1.0"}}))
    assert join(tmp_path / "more", tmp_path / "all", later).exit_code == 0
    assert read_meta(tmp_path / "more")["about"] == both


def test_what_would_repeat_or_leak_is_refused(tmp_path: Path) -> None:
    a = write_part(tmp_path / "a", "one")
    assert "the recording 'S" in join(tmp_path / "all", a, write_part(tmp_path / "b", "one")).stderr
    leaking = write_part(tmp_path / "c", "one", first=100, recording="other")
    assert "subject 'S100' of one stands in 'validation' and in 'train'" in join(tmp_path / "all", a, leaking).stderr
    assert "there is no window dataset at" in join(tmp_path / "all", a, tmp_path / "nothing").stderr
    assert "no option 'source'" in join(tmp_path / "all", a, more=("--source", "x")).stderr
    missing = CliRunner().invoke(main, ["build", "meta", "-o", str(tmp_path / "all")])
    assert "option 'parts': Field required" in missing.stderr


def test_inspect_shows_joint_counts_before_and_after_the_weights(tmp_path: Path) -> None:
    a = write_part(tmp_path / "a", "one", count=12, gender="F", health="H")
    b = write_part(tmp_path / "b", "two", count=4, gender=None, health="PD")
    assert join(tmp_path / "all", a, b).exit_code == 0
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "all")])
    assert done.exit_code == 0, done.output
    assert '[dataset] balance = ["corpus", "gender", "health"]' in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["one", "F", "H", "12", "75.0%", "0.67", "50.0%"] in rows
    assert ["two", "-", "PD", "4", "25.0%", "2.00", "50.0%"] in rows
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "all"), "--balance", "health", "--power", "0.5"])
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith("PD "))
    assert row[:2] == ["PD", "4"]
    assert 25 < float(row[-1].rstrip("%")) < 50
    capped = CliRunner().invoke(main, ["inspect", str(tmp_path / "all"), "--cap", "1.2"])
    assert ["two", "-", "PD", "4", "25.0%", "1.20", "30.0%"] in [line.split() for line in capped.stdout.splitlines()]


def test_one_part_is_its_own_joint_dataset(tmp_path: Path) -> None:
    a = write_miniature(tmp_path / "a")
    assert join(tmp_path / "all", a).exit_code == 0
    assert Counter(windows(tmp_path / "all").column("label")) == Counter(windows(a).column("label"))


def test_inspect_draws_one_page_that_opens_offline(tmp_path: Path) -> None:
    a = write_part(tmp_path / "a", "one", count=12, gender="F", caption="<b>a caption</b>")
    page = tmp_path / "deep" / "a.html"
    done = CliRunner().invoke(main, ["inspect", str(a), "--html", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert text.count("<svg") == 4 + 4
    for there in ("<td>validation</td>", "<th>health</th>", "Amplitude of windows", "[dataset] balance", "20-25"):
        assert there in text
    assert "<b>a caption" not in text
