"""Labels become indices, numbers and texts; what is missing stays missing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from sd_core.plugin import LabelSpace, SdError
from sd_core.windows.labels import LabelTable, label_arrays, label_space
from sd_core.windows.opening import open_split
from sd_core.windows.rows import Rows

ROLES = {"class": "label", "gender": "gender", "health": "health", "age": "age", "caption": "caption"}


def split(path: Path, **columns: Any) -> Rows:
    count = len(next(iter(columns.values())))
    dataset = Dataset.from_dict(
        {"signal": [[[0.0, 1.0]]] * count, **{name: list(values) for name, values in columns.items()}}
    ).cast_column("signal", List(List(Value("float32"))))
    DatasetDict({"train": dataset}).save_to_disk(str(path))
    return open_split(path, "train", sfreq=125.0, channel_names=("Cz",))


def test_a_space_holds_what_is_there(tmp_path: Path) -> None:
    train = split(
        tmp_path / "d",
        label=["b", "a", "b", None],
        gender=["f", "Male", "F", "n/a"],
        age=[20, 40, None, 60],
        caption=["x", None, "y", "z"],
    )
    space = label_space(train, ROLES)
    assert space.categories == {"class": ("a", "b"), "gender": ("F", "M")}
    assert space.numbers["age"] == pytest.approx((40.0, np.std([20, 40, 60])))
    assert space.texts == {"caption"}
    labels = label_arrays(train, space, ROLES, [3, 0, 1, 2])
    np.testing.assert_array_equal(labels["class"], [-1, 1, 0, 1])
    np.testing.assert_array_equal(labels["gender"], [-1, 0, 1, 0])
    np.testing.assert_array_equal(labels["age"], np.array([60, 20, 40, np.nan], dtype=np.float32))
    assert labels["caption"] == ["z", "x", "", "y"]
    assert (labels["class"].dtype, labels["age"].dtype) == (np.int64, np.float32)


@pytest.mark.parametrize(
    ("values", "num_classes", "names", "indices"),
    [
        (["rest", "work"], None, ("rest", "work"), [0, 1]),
        (["rest", "work"], 4, ("rest", "work", "unused 2", "unused 3"), [0, 1]),
        ([10, 9], None, ("9", "10"), [1, 0]),
        ([3, 1], None, ("1", "3"), [1, 0]),
        ([3, 1], 5, ("0", "1", "2", "3", "4"), [3, 1]),
        ([5, 1], 5, ("1", "5", "unused 2", "unused 3", "unused 4"), [1, 0]),
        ([1.0, 0.0], None, ("0", "1"), [1, 0]),
        ([True, False], None, ("False", "True"), [1, 0]),
    ],
)
def test_classes_of_every_type(
    values: list[Any], num_classes: int | None, names: tuple[str, ...], indices: list[int], tmp_path: Path
) -> None:
    train = split(tmp_path / "d", label=values)
    space = label_space(train, {"class": "label"}, num_classes)
    assert space.categories["class"] == names
    np.testing.assert_array_equal(LabelTable(train, space, ROLES).rows([0, 1])["class"], indices)


def test_declared_classes_keep_their_order_and_minus_one_is_missing(tmp_path: Path) -> None:
    features = Features(signal=List(List(Value("float32"))), label=ClassLabel(names=["work", "rest", "sleep"]))
    dataset = Dataset.from_dict({"signal": [[[0.0]]] * 3, "label": [1, 0, -1]}, features=features)
    DatasetDict({"train": dataset}).save_to_disk(str(tmp_path / "d"))
    train = open_split(tmp_path / "d", "train", sfreq=125.0)
    space = label_space(train, {"class": "label"})
    assert space.categories["class"] == ("work", "rest", "sleep")
    np.testing.assert_array_equal(label_arrays(train, space, ROLES, range(3))["class"], [1, 0, -1])


def test_more_classes_than_the_table_are_refused_with_both_numbers(tmp_path: Path) -> None:
    train = split(tmp_path / "d", label=["a", "b", "c"])
    with pytest.raises(SdError, match=r"holds 3 classes \(a, b, c\), but dataset.num_classes is 2: set it to 3"):
        label_space(train, {"class": "label"}, 2)


def test_num_classes_is_about_the_class_alone(tmp_path: Path) -> None:
    train = split(tmp_path / "d", label=["a", "b"], health=["H", "PD"])
    space = label_space(train, {"class": "label", "health": "health"}, 3)
    assert [len(space.categories[role]) for role in ("class", "health")] == [3, 2]


def test_an_absent_column_is_left_out_unless_required(tmp_path: Path) -> None:
    train = split(tmp_path / "d", label=["a", "b"], health=[None, None])
    assert label_space(train, ROLES) == LabelSpace(categories={"class": ("a", "b")})
    with pytest.raises(SdError, match="no column 'caption'; its columns are: label, health"):
        label_space(train, ROLES, required=["caption"])
    with pytest.raises(SdError, match="the column 'health', needed for 'health', holds no value"):
        label_space(train, ROLES, required=["health"])


def test_ages_may_be_text_but_not_words(tmp_path: Path) -> None:
    assert label_space(split(tmp_path / "a", age=["20", "", "40.0"]), ROLES).numbers["age"] == (30.0, 10.0)
    with pytest.raises(SdError, match="the column 'age' holds 'old', which is not a number"):
        label_space(split(tmp_path / "b", age=["20", "old"]), ROLES)


def test_one_age_has_a_unit_scale(tmp_path: Path) -> None:
    assert label_space(split(tmp_path / "d", age=[20, 20]), ROLES).numbers["age"] == (20.0, 1.0)


def test_what_train_does_not_know_is_missing_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = split(tmp_path / "train", health=["H", "PD"])
    held_out = split(tmp_path / "held-out", health=["H", "MSA"])
    space = label_space(train, {"health": "health"})
    with caplog.at_level(logging.WARNING):
        for turn in range(2):
            labels = LabelTable(held_out, space, ROLES).rows(np.array([1, 0]))
            LabelTable(split(tmp_path / f"more-{turn}", health=["MSB"]), space, ROLES, reads={"class"})  # nobody asks
    np.testing.assert_array_equal(labels["health"], [-1, 0])
    assert "MSB" not in caplog.text
    assert [record.message for record in caplog.records if "MSA" in record.message] == [
        "values of 'health' that the train split does not have count as missing: MSA"
    ]
