"""Windows come back as they were written, whatever wrote them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Array2D, Dataset, DatasetDict, Features, List, Sequence, Value

from sd_core.plugin import SdError
from sd_core.testing.windows import made_up_rows, write_miniature
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_core.windows.views import window_views

SHAPE = (3, 40)


@pytest.fixture(scope="module")
def signals() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((23, *SHAPE), dtype=np.float32)


def opened(path: Path, split: str = "train", **arguments: Any) -> WindowSet:
    found = open_split(path, split, **arguments)
    assert isinstance(found, WindowSet)
    return found


def saved(path: Path, dataset: Dataset) -> Path:
    DatasetDict({"train": dataset}).save_to_disk(str(path))
    return path


STORED_AS = {
    "array2d": Features(signal=Array2D(SHAPE, "float32")),
    "lists": Features(signal=List(List(Value("float32")))),
    "fixed-size lists": Features(signal=Sequence(Sequence(Value("float32"), length=SHAPE[1]), length=SHAPE[0])),
    "doubles": Features(signal=List(List(Value("float64")))),
    "integers": Features(signal=List(List(Value("int16")))),
}


@pytest.mark.parametrize("kind", STORED_AS)
def test_every_way_to_store_a_window_is_read(kind: str, signals: Any, tmp_path: Path) -> None:
    stored = (1000 * signals).astype(np.int16) if kind == "integers" else signals
    dataset = Dataset.from_dict({"signal": list(stored.tolist())}, features=STORED_AS[kind])
    windows = opened(saved(tmp_path / "d", dataset), sfreq=100.0)
    assert windows.info.n_samples == 40
    assert windows.info.sfreq == 100
    read = windows.signals([22, 0, 5, 5])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, stored[[22, 0, 5, 5]].astype(np.float32))


def test_a_batch_is_fresh_and_writable_and_the_map_is_not(tmp_path: Path) -> None:
    windows = opened(write_miniature(tmp_path / "d"))
    first = windows.signals([1, 2])
    assert first.flags.c_contiguous
    first[:] = 0
    assert windows.signals([1, 2]).std() > 1
    assert not any(view.flags.writeable for view in windows._views)


def test_sliced_chunks_and_several_chunks_keep_their_rows(signals: Any) -> None:
    flat = pa.array(signals.reshape(-1))
    inner = pa.ListArray.from_arrays(pa.array(np.arange(0, signals.size + 1, 40, dtype=np.int32)), flat)
    outer = pa.ListArray.from_arrays(pa.array(np.arange(0, 70, 3, dtype=np.int32)), inner)
    fixed = pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(flat, 40), 3)
    for array in (outer, fixed):
        views = window_views(pa.chunked_array([array.slice(2, 5), array.slice(7, 0), array.slice(20)]))
        np.testing.assert_array_equal(np.concatenate(views), signals[[2, 3, 4, 5, 6, 20, 21, 22]])
        assert not views[0].flags.owndata


def test_a_selection_of_rows_is_followed(signals: Any) -> None:
    features = Features(signal=Array2D(SHAPE, "float32"), number=Value("int64"))
    dataset = Dataset.from_dict({"signal": list(signals), "number": list(range(23))}, features=features)
    selection = dataset.shuffle(seed=3).select(range(9))
    assert selection._indices is not None, "the table itself is not reordered"
    windows = WindowSet(selection, channel_names=None, sfreq=125.0, meta={})
    assert len(windows) == 9
    assert windows.column("number") == selection["number"][:]
    np.testing.assert_array_equal(windows.signals(range(9)), signals[windows.column("number")])


def test_rows_out_of_range_are_our_mistake(tmp_path: Path) -> None:
    windows = opened(write_miniature(tmp_path / "d"), max_samples=5)
    assert len(windows) == 5
    assert len(windows.column("age")) == 5
    with pytest.raises(IndexError):
        windows.signals([5])
    with pytest.raises(IndexError):
        windows.signals([-1])


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    first, again = write_miniature(tmp_path / "a"), write_miniature(tmp_path / "b")
    larger = write_miniature(tmp_path / "c", train=14)
    assert opened(first).fingerprint == opened(again).fingerprint
    others = {opened(first, "test").fingerprint, opened(first, max_samples=4).fingerprint, opened(larger).fingerprint}
    assert len(others | {opened(first).fingerprint}) == 4


def test_a_foreign_fingerprint_follows_samples_and_labels(signals: Any, tmp_path: Path) -> None:
    def fingerprint(name: str, factor: float, label: str) -> str:
        features = Features(signal=Array2D(SHAPE, "float32"), state=Value("string"))
        columns = {"signal": list(factor * signals), "state": [label] * 23}
        return opened(saved(tmp_path / name, Dataset.from_dict(columns, features=features)), sfreq=125.0).fingerprint

    assert fingerprint("a", 1, "rest") == fingerprint("b", 1, "rest")
    assert len({fingerprint("c", 1, "rest"), fingerprint("d", 2, "rest"), fingerprint("e", 1, "work")}) == 3


def test_a_worker_gets_the_path_not_the_samples(tmp_path: Path) -> None:
    windows = opened(write_miniature(tmp_path / "d", train=200, held_out=2))
    packed = pickle.dumps(windows)
    assert len(packed) < 100_000 < windows.signals(range(200)).nbytes
    np.testing.assert_array_equal(pickle.loads(packed).signals([7, 199]), windows.signals([7, 199]))


def test_non_finite_samples_of_a_foreign_dataset_are_named(signals: Any, tmp_path: Path) -> None:
    spoiled = signals.copy()
    spoiled[4, 1, 7], spoiled[9, 0, 0] = np.nan, np.inf
    dataset = Dataset.from_dict({"signal": list(spoiled)}, features=STORED_AS["array2d"])
    windows = opened(saved(tmp_path / "d", dataset), sfreq=125.0)
    assert len(windows.signals([3, 5])) == 2
    with pytest.raises(SdError, match="rows 9, 4"):
        windows.signals([3, 9, 4])


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([[[1.0, 2.0]], None], "row 1 .* is missing"),
        ([[[1.0, 2.0]], [[1.0, None]]], "missing samples"),
        ([[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]], "row 1 .* has 2 channels, an earlier one 1"),
        ([[[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0], [1.0]]], "row 1 .* has 1 samples, an earlier one 2"),
        ([[["a"]]], "not numbers"),
        ([1.0], r"must hold windows of \(channels, samples\)"),
    ],
)
def test_malformed_windows_are_refused_by_row(cells: list[Any], sentence: str) -> None:
    with pytest.raises(SdError, match=sentence):
        window_views(pa.chunked_array([pa.array(cells)]))


def test_chunks_of_several_shapes_are_refused() -> None:
    chunks = [pa.array(np.zeros((2, c, 4)).tolist()) for c in (1, 2)]
    with pytest.raises(SdError, match="1 channels x 4 samples, 2 channels x 4 samples"):
        window_views(pa.chunked_array(chunks))


def test_columns_come_by_name_and_class_labels_as_names(tmp_path: Path) -> None:
    windows = opened(write_miniature(tmp_path / "d"))
    assert "signal" not in windows.column_names
    assert windows.column("label")[:3] == ["rest", "arithmetic", "rest"]
    assert windows.column("age")[:4] == [20.0, 20.0, None, 21.0]
    assert windows.classes("label") == ("rest", "arithmetic")
    with pytest.raises(SdError, match="no column 'sex'; its columns are: corpus, subject"):
        windows.column("sex")


def test_rows_of_the_miniature_are_what_is_read(tmp_path: Path) -> None:
    windows = opened(write_miniature(tmp_path / "d"))
    expected = np.stack([row["signal"] for row in made_up_rows(12)])
    np.testing.assert_array_equal(windows.signals(range(12)), expected)
