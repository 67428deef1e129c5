"""Files that appear whole or not at all, and disks that refuse."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sd_core.disk import disk_errors, whole_file
from sd_core.errors import SdError
from sd_core.judging.results import write_results
from sd_core.task import Windows


def full(path: Path, text: str, **_: object) -> int:
    """The disk has room for half of it."""
    half = path.write_bytes(text.encode()[: len(text) // 2])
    assert half
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "numbers.npz"
    path.write_text("before")

    def write_half() -> None:
        with whole_file(path) as scratch:
            scratch.write_text("half")
            assert scratch.suffix == path.suffix
            assert scratch.parent == path.parent
            assert path.read_text() == "before"
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]
    with whole_file(path) as scratch:
        scratch.write_text("after")
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(path, "after")]


def test_what_a_killed_process_left_is_taken_over_unless_several_write(tmp_path: Path) -> None:
    path = tmp_path / "numbers.npz"
    with whole_file(path) as scratch:
        scratch.write_text("before")
    scratch.write_text("ki")
    with whole_file(path) as scratch:
        scratch.write_text("after")
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(path, "after")]
    with whole_file(path, several=True) as one, whole_file(path, several=True) as other:
        assert one != other
        assert {one.suffix, other.suffix} == {".npz"}
        for scratch in (one, other):
            scratch.write_text(scratch.name)
    assert [file.name for file in tmp_path.iterdir()] == ["numbers.npz"]
    assert path.read_text() == one.name  # who ends last


def test_what_the_system_refuses_is_one_sentence_and_a_mistake_is_not(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.html"
    refused = r"^cannot write to .*report\.html: No such file or directory"
    with pytest.raises(SdError, match=refused + "$"), disk_errors(path), whole_file(path) as scratch:
        scratch.write_text("")
    with pytest.raises(SdError, match=refused + "; take another$"), disk_errors(path, "take another"):
        path.write_text("")
    with pytest.raises(ZeroDivisionError), disk_errors(path):
        1 / 0  # noqa: B018


def test_results_on_a_full_disk_are_one_sentence_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none: tuple[Windows, Windows, Windows] = (None, None, None)  # type: ignore[assignment]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(SdError, match=r"metrics\.json: No space left on device; name another --output-dir$"):
            write_results(tmp_path / "out", {}, None, none, title="", curves={})
    assert list((tmp_path / "out").iterdir()) == []
