import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from sd_core.errors import SdError
from sd_core.run.checkpoint import (
    checkpoints,
    damage,
    latest,
    newest,
    rotate,
    set_aside_later,
    verified,
    write_checkpoint,
)


def writer(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "weights").write_text(text)

    return write


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_written_checkpoint_verifies(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 5, writer("hello"))
    assert folder.name == "checkpoint-5"
    assert damage(folder) is None
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-5"]


def test_a_flipped_bit_is_noticed_and_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 5, writer("hello"))
    flip_a_bit(folder / "weights")
    with pytest.raises(SdError, match="weights is not what was written"):
        verified(folder)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"weights": 5}', '{"weights": {"bytes": 1}}'])
def test_a_manifest_that_proves_nothing_is_damage(tmp_path: Path, text: str) -> None:
    folder = write_checkpoint(tmp_path, 1, writer("a"))
    (folder / "manifest.json").write_text(text)
    with pytest.raises(SdError, match=r"damaged: manifest.json (is not readable|names no files)"):
        verified(folder)


def test_latest_skips_what_is_damaged_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_checkpoint(tmp_path, 9, writer("old"))
    write_checkpoint(tmp_path, 10, writer("new"))
    assert latest(tmp_path).name == "checkpoint-10"
    flip_a_bit(tmp_path / "checkpoint-10" / "weights")
    with caplog.at_level(logging.WARNING):
        assert latest(tmp_path).name == "checkpoint-9"
    assert "checkpoint-10" in caplog.text


def test_a_crash_while_writing_leaves_the_old_ones(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, writer("old"))

    def crash(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, 2, crash)
    assert latest(tmp_path).name == "checkpoint-1"
    assert write_checkpoint(tmp_path, 2, writer("whole")) == latest(tmp_path)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, writer("old"))

    def full(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SdError, match=r"No space left.*older checkpoints are intact"):
        write_checkpoint(tmp_path, 2, full)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]


def test_leftovers_of_a_killed_writer_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-7.partial").mkdir()
    write_checkpoint(tmp_path, 8, writer("x"))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-8"]


def test_a_step_written_again_replaces_the_old_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 8, writer("old"))
    again = write_checkpoint(tmp_path, 8, writer("new"))
    assert (again / "weights").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-8"]


def test_later_checkpoints_are_set_aside_not_deleted(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, writer(str(step)))
    set_aside_later(tmp_path / "checkpoint-1")
    assert latest(tmp_path).name == "checkpoint-1"
    assert (tmp_path / "checkpoint-3.abandoned" / "weights").read_text() == "3"


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        written = write_checkpoint(tmp_path, step, writer("x"))
    rotate(written, 2)
    assert [p.name for p in checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-10"]


def test_rotation_never_touches_steps_after_the_one_just_written(tmp_path: Path) -> None:
    for step in (20, 30, 40, 15):
        written = write_checkpoint(tmp_path, step, writer("x"))
    rotate(written, 1)
    assert [p.name for p in checkpoints(tmp_path)] == [
        "checkpoint-15",
        "checkpoint-20",
        "checkpoint-30",
        "checkpoint-40",
    ]


def test_rotation_waits_for_an_intact_successor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, writer("x"))
    written = write_checkpoint(tmp_path, 2, writer("y"))
    flip_a_bit(written / "weights")
    rotate(written, 1)
    assert (tmp_path / "checkpoint-1").is_dir()


def test_a_checkpoint_under_another_name_is_found_by_its_manifest(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, 3, writer("x"))
    moved = folder.rename(tmp_path / "my-best-model")
    assert newest(moved) == moved


def test_nothing_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SdError, match="no intact checkpoint"):
        newest(tmp_path)
    with pytest.raises(SdError, match="no run or checkpoint"):
        newest(tmp_path / "absent")
