"""A dataset is written whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from sd_core.plugin import SdError, SignalInfo
from sd_core.testing.windows import CLASSES, MINIATURE, made_up_rows, write_miniature
from sd_core.windows.opening import read_meta
from sd_core.windows.statistics import RunningStatistics
from sd_core.windows.writing import write_windows

FULL_DISK = """
import resource, sys
from pathlib import Path
from sd_core.plugin import SdError
from sd_core.testing.windows import write_miniature
import datasets
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_miniature(Path(sys.argv[1]), train=400)
except SdError as error:
    print(error)
"""


def write(out: Path, rows: Any, meta: dict[str, Any] | None = None) -> None:
    write_windows(out, {"train": rows}, MINIATURE, meta or {}, classes=CLASSES)


def test_hugging_face_reads_it(tmp_path: Path) -> None:
    loaded = datasets.load_from_disk(str(write_miniature(tmp_path / "d")))
    assert list(loaded) == ["train", "validation", "test"]
    first = next(made_up_rows(1))
    np.testing.assert_array_equal(np.array(loaded["train"][0]["signal"], dtype=np.float32), first["signal"])
    assert loaded["train"].features["label"].names == ["rest", "arithmetic"]
    assert loaded["train"].with_format("torch")[:2]["signal"].shape == (2, 4, 256)


def test_the_geometry_and_the_statistics_travel_with_it(tmp_path: Path) -> None:
    meta = read_meta(write_miniature(tmp_path / "d"))
    assert meta["channel_names"] == list(MINIATURE.channel_names)
    assert (meta["n_samples"], meta["sfreq"], meta["unit"], meta["reference"]) == (256, 125.0, "uV", "average")
    signals = np.stack([row["signal"] for row in made_up_rows(12)]).astype(float)
    expected = (signals - signals.mean(-1, keepdims=True)).std(axis=(0, 2))
    np.testing.assert_allclose(meta["statistics"]["train"]["standard_deviation_uv"], expected, rtol=1e-4)
    assert meta["splits"]["test"]["windows"] == 4


def test_statistics_are_those_of_demeaned_windows() -> None:
    rng = np.random.default_rng(1)
    windows = rng.laplace(3.0, 2.0, (50, 2, 400)).astype(np.float32)
    statistics = RunningStatistics(2)
    for window in windows:
        statistics.add(window)
    summary, demeaned = statistics.summary(), windows - windows.mean(-1, keepdims=True)
    np.testing.assert_allclose(summary["peak_uv"], np.abs(demeaned).max((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(summary["offset_rms_uv"], np.sqrt((windows.mean(-1) ** 2).mean(0)), rtol=1e-5)
    assert summary["excess_kurtosis"] == pytest.approx([3, 3], abs=0.6)


def test_splits_may_be_generators_that_fill_the_report(tmp_path: Path) -> None:
    report = {"windows": 0}

    def rows() -> Any:
        for row in made_up_rows(6):
            report["windows"] += 1
            yield row

    write(tmp_path / "d", rows(), {"report": report})
    assert read_meta(tmp_path / "d")["report"] == {"windows": 6}


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SdError, match="exists already"):
        write(tmp_path, made_up_rows(2))


def spoiled(what: str) -> Any:
    for number, row in enumerate(made_up_rows(6)):
        if number == 3 and what == "nan":
            row["signal"][1, 5] = np.nan
        if number == 3 and what == "shape":
            row["signal"] = row["signal"][:, :-1]
        if number == 3 and what == "crash":
            raise RuntimeError("the amplifier burns")
        yield row


@pytest.mark.parametrize(
    ("what", "error", "sentence"),
    [
        ("nan", SdError, r"window 3 of the split 'train' \(S001_arithmetic\) holds NaN"),
        ("shape", SdError, r"\(4, 255\), not \(4, 256\)"),
        ("crash", RuntimeError, "burns"),
    ],
)
def test_what_goes_wrong_leaves_nothing(what: str, error: type[Exception], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=sentence):
        write(tmp_path / "d", spoiled(what))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SdError, match="the split 'train' has no windows"):
        write(tmp_path / "d", iter(()))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "d")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("cannot write to ")
    assert done.stdout.strip().endswith("File too large; nothing was left there")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_ours_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SdError, match=r"cannot write to .*; nothing was left there$"):
        write(tmp_path / "file" / "d", made_up_rows(2))


def test_memory_does_not_grow_with_the_dataset(tmp_path: Path) -> None:
    """Windows are let go while others are made: at most a batch of them lives at a time."""
    import weakref

    info = SignalInfo(channel_names=tuple(f"e{i}" for i in range(20)), n_samples=8192, sfreq=125.0)
    alive: list[weakref.ref[Any]] = []

    def rows() -> Any:
        for row in made_up_rows(70, info):
            alive.append(weakref.ref(row["signal"]))
            yield row

    most = []

    def counted() -> Any:
        for row in rows():
            most.append(sum(ref() is not None for ref in alive))
            yield row

    write_windows(tmp_path / "d", {"train": counted()}, info, {}, classes=CLASSES)
    assert max(most) < 60  # 16 MiB are 25 windows of this size; two batches may overlap
    assert json.loads((tmp_path / "d" / "windows.json").read_text())["splits"]["train"]["windows"] == 70


def labelled(values: list[Any]) -> Any:
    for row, value in zip(made_up_rows(len(values)), values, strict=True):
        yield {**row, "note": value}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, 3, 4], "int64"),
        ([1, 2.5, None], "float64"),
        ([None, np.float32(1.5), np.int64(2)], "float64"),
        ([None, True, False], "bool"),
        ([None, np.bool_(True), False], "bool"),
        ([None, "a", "b"], "string"),
        ([None, None, None], "string"),
    ],
)
def test_a_column_has_the_type_of_all_its_first_values(values: list[Any], kind: str, tmp_path: Path) -> None:
    write(tmp_path / "d", labelled(values))
    loaded = datasets.load_from_disk(str(tmp_path / "d"))["train"]
    assert loaded.features["note"].dtype == kind
    assert loaded["note"][:] == values


@pytest.mark.parametrize("values", [["a", 1], [True, 1], [True, 1.5]])
def test_a_column_of_several_kinds_is_refused_by_name(values: list[Any], tmp_path: Path) -> None:
    with pytest.raises(SdError, match="the column 'note' began as string"):
        write(tmp_path / "d", labelled(values))
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_changes_after_the_first_batch_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sd_core.windows.writing._BATCH_BYTES", 1)
    with pytest.raises(SdError, match="the column 'note' began as int64"):
        write(tmp_path / "d", labelled([1, 2.5]))
