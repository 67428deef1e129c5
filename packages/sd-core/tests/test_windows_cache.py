"""A corpus is built once per machine, whoever asks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from sd_core.plugin import SdError
from sd_core.windows.cache import cached_corpus, corpus_key


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path))
    return tmp_path / "corpora"


class Builder:
    """Builds a small folder, slowly, and keeps count on disk."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, out: Path) -> None:
        with self.log.open("a") as file:
            file.write("built\n")
        out.mkdir()
        time.sleep(0.3)
        (out / "windows.json").write_text("{}")


def test_the_second_time_it_is_there(tmp_path: Path, root: Path) -> None:
    builder = Builder(tmp_path / "log")
    assert cached_corpus(builder, "demo-1") == cached_corpus(builder, "demo-1") == root / "demo-1"
    assert cached_corpus(builder, "demo-2") == root / "demo-2"
    assert builder.log.read_text().count("built") == 2


def test_a_build_that_fails_leaves_nothing_to_be_found(root: Path) -> None:
    def fail(out: Path) -> None:
        out.mkdir()
        raise SdError("no")

    with pytest.raises(SdError):
        cached_corpus(fail, "demo-1")
    assert [path.name for path in root.iterdir() if path.is_dir()] == []


def test_several_processes_build_once(tmp_path: Path, root: Path) -> None:
    builder, context = Builder(tmp_path / "log"), multiprocessing.get_context("fork")
    processes = [context.Process(target=cached_corpus, args=(builder, "demo-1")) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert builder.log.read_text().count("built") == 1
    assert (root / "demo-1" / "windows.json").exists()


def test_where_another_was_faster_its_copy_serves(tmp_path: Path, root: Path) -> None:
    def overtaken(out: Path) -> None:
        out.mkdir()
        (root / "demo-1").mkdir()
        (root / "demo-1" / "windows.json").write_text("theirs")

    assert (cached_corpus(overtaken, "demo-1") / "windows.json").read_text() == "theirs"
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == ["demo-1"]


def test_the_key_follows_options_and_version() -> None:
    keys = {
        corpus_key("demo", {"seed": 0, "split": [1, 2]}, "1"),
        corpus_key("demo", {"split": [1, 2], "seed": 0}, "1"),
        corpus_key("demo", {"seed": 1, "split": [1, 2]}, "1"),
        corpus_key("demo", {"seed": 0, "split": [1, 2]}, "2"),
        corpus_key("other", {"seed": 0, "split": [1, 2]}, "1"),
    }
    assert len(keys) == 4
    assert all(key.partition("-")[0] in {"demo", "other"} for key in keys)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_disk_that_takes_nothing_is_one_sentence(number: int) -> None:
    def full(out: Path) -> None:
        raise OSError(number, os.strerror(number), str(out))

    with pytest.raises(SdError, match=rf"{os.strerror(number)}.*SIGNAL_DIFFUSION_CACHE"):
        cached_corpus(full, "demo-1")


def test_a_file_in_the_place_of_the_cache_is_one_sentence(root: Path, tmp_path: Path) -> None:
    root.write_text("")
    with pytest.raises(SdError, match="SIGNAL_DIFFUSION_CACHE"):
        cached_corpus(Builder(tmp_path / "log"), "demo-1")


def test_what_a_corpus_does_not_find_stays_a_bug() -> None:
    def lost(out: Path) -> None:
        (out / "not there" / "file").write_text("")

    with pytest.raises(FileNotFoundError):
        cached_corpus(lost, "demo-1")
