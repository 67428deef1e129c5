"""Core's exporters: what they write is read back whole, and says that it is synthetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sd_core.errors import SdError
from sd_core.exporters import Npz, WindowDataset
from sd_core.options import NoOptions
from sd_core.registry import discover
from sd_core.task import Windows
from sd_core.testing.metric import toy_windows
from sd_core.windows.opening import open_split, read_meta
from sd_core.windows.reading import WindowSet
from sd_core.windows.writing import write_windows

PROVENANCE = {"synthetic": True, "model": "toy", "seed": 3}


@pytest.fixture
def windows() -> Windows:
    labels: dict[str, list[Any]] = {
        "age": [31.0, None, 44.5],
        "gender": ["F", None, "M"],
        "label": ["rest", "task", "rest"],
    }
    return replace(toy_windows(0, count=3), columns=labels)


def test_npz_opens_without_pickle_and_holds_everything(windows: Windows, tmp_path: Path) -> None:
    (path,) = Npz(NoOptions())(windows, tmp_path / "out", PROVENANCE)
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["signal"], windows.signal)
        assert tuple(archive["channel_names"]) == windows.info.channel_names
        assert archive["sfreq"] == 125.0
        assert archive["unit"] == "uV"
        assert bool(archive["synthetic"])
        assert json.loads(str(archive["provenance"])) == PROVENANCE
        np.testing.assert_array_equal(archive["column_age"], [31.0, np.nan, 44.5])
        assert list(archive["column_gender"]) == ["F", "", "M"]
        assert list(archive["column_label"]) == ["rest", "task", "rest"]


@pytest.mark.parametrize("unit", ["nT", ""])
def test_the_unit_is_that_of_the_training_data_and_nothing_is_made_up(
    windows: Windows, tmp_path: Path, unit: str
) -> None:
    write_windows(tmp_path / "data", {"train": rows_of(windows)}, replace(windows.info, unit=unit), {})
    learned = open_split(tmp_path / "data", "train")
    assert isinstance(learned, WindowSet)
    assert learned.info.unit == unit
    told = {} if not unit else {"unit": unit}
    (path,) = Npz(NoOptions())(replace(windows, info=learned.info), tmp_path / "out", PROVENANCE)
    with np.load(path, allow_pickle=False) as archive:
        assert {name: str(archive[name]) for name in archive.files if name == "unit"} == told
    WindowDataset(NoOptions())(replace(windows, info=learned.info), tmp_path / "set", PROVENANCE)
    assert {name: said for name, said in read_meta(tmp_path / "set").items() if name == "unit"} == told


def rows_of(windows: Windows) -> list[dict[str, Any]]:
    return [{"signal": signal} for signal in windows.signal]


def test_npz_replaces_its_own_archive_and_leaves_no_scraps(windows: Windows, tmp_path: Path) -> None:
    for _ in range(2):
        Npz(NoOptions())(windows, tmp_path, PROVENANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["windows.npz"]


def test_npz_says_where_it_cannot_write(windows: Windows, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SdError, match="cannot write to"):
        Npz(NoOptions())(windows, tmp_path / "file", PROVENANCE)


def test_dataset_trains_the_next_model(windows: Windows, tmp_path: Path) -> None:
    (path,) = WindowDataset(NoOptions())(windows, tmp_path / "made", PROVENANCE)
    split = open_split(str(path), "train")
    np.testing.assert_array_equal(split.signals([0, 1, 2]), windows.signal)  # type: ignore[union-attr]
    assert split.info == windows.info  # type: ignore[union-attr]
    assert split.column("age") == [31.0, None, 44.5]
    assert split.column("gender") == ["F", None, "M"]
    assert set(split.column("corpus")) == {"synthetic"}
    meta = json.loads((path / "windows.json").read_text())
    assert meta["synthetic"] is True
    assert meta["provenance"] == PROVENANCE


def test_dataset_refuses_a_folder_that_exists(windows: Windows, tmp_path: Path) -> None:
    with pytest.raises(SdError, match="exists already"):
        WindowDataset(NoOptions())(windows, tmp_path, PROVENANCE)


@pytest.mark.parametrize("name", ["npz", "dataset"])
def test_they_are_offered(name: str) -> None:
    registry = discover()
    assert callable(registry.create("exporters", name, registry.options("exporters", name)()))
