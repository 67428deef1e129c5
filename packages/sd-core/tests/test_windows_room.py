"""A folder that cannot be written is refused before the work, and nothing is made by asking."""

from __future__ import annotations

from pathlib import Path

import pytest

from sd_core.errors import SdError
from sd_core.windows.room import refuse_unwritable


def test_a_folder_need_not_be_there_and_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (tmp_path, tmp_path / "a" / "b", Path("a"), Path()):
        refuse_unwritable(out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/a", "file/a/b"])
def test_a_file_in_its_place_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SdError, match=f"'{tmp_path / 'file'}' is a file"):
        refuse_unwritable(tmp_path / below)


def test_a_folder_of_somebody_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda place, _mode: place != tmp_path)
    with pytest.raises(SdError, match=f"'{tmp_path}' is not yours to write"):
        refuse_unwritable(tmp_path / "a")
