"""C kernels are built once, found again, and given up with a reason where they cannot be built."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest
import torch

from sd_core.nn import building
from sd_core.nn.building import KernelUnavailable, load_library, run_tasks
from sd_core.testing.kernels import needs_compiler

DOUBLED = "int twice(int x) { return FACTOR * x; }\n"


pytestmark = pytest.mark.usefixtures("fresh_kernels")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A C file and an empty cache."""
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path))
    file = tmp_path / "twice.c"
    file.write_text(DOUBLED)
    return file


def built_in(folder: Path) -> list[Path]:
    return sorted((folder / "kernels").iterdir())


@needs_compiler
def test_a_kernel_is_compiled_once_and_found_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_library(source, ("FACTOR=2",)).twice(21) == 42
    built = built_in(tmp_path)
    load_library.cache_clear()
    monkeypatch.setattr(building, "_build", lambda *_: pytest.fail("compiled a second time"))
    assert load_library(source, ("FACTOR=2",)).twice(21) == 42
    assert built_in(tmp_path) == built


@needs_compiler
def test_another_source_or_define_is_another_kernel(source: Path, tmp_path: Path) -> None:
    assert load_library(source, ("FACTOR=2",)).twice(1) == 2
    assert load_library(source, ("FACTOR=3",)).twice(1) == 3
    source.write_text(DOUBLED.replace("* x", "+ x"))
    load_library.cache_clear()
    assert load_library(source, ("FACTOR=3",)).twice(10) == 13
    assert len(built_in(tmp_path)) == 3


@needs_compiler
def test_a_broken_file_in_the_cache_is_built_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_library(source, ("FACTOR=2",))
    (built,) = built_in(tmp_path)
    broken = tmp_path / "other" / "kernels" / built.name
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"half a library")
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path / "other"))
    load_library.cache_clear()
    load_library(source, ("FACTOR=2",))
    assert broken.stat().st_size == built.stat().st_size


@needs_compiler
def test_what_does_not_compile_says_why(source: Path) -> None:
    with pytest.raises(KernelUnavailable, match="FACTOR"):
        load_library(source)


@pytest.mark.parametrize("command", ["no-such-compiler", "false"])
def test_without_a_working_compiler_it_is_given_up(command: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", command)
    with pytest.raises(KernelUnavailable, match=command):
        load_library(source, ("FACTOR=2",))


def test_a_cache_that_cannot_be_made_is_replaced_by_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path / "file"))
    assert building.writable_folder() == Path(building._temporary_folder().name)
    assert building.writable_folder().is_dir()


def test_a_user_without_a_home_gets_a_temporary_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNAL_DIFFUSION_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it answers where there is none
    assert building.writable_folder() == Path(building._temporary_folder().name)


@pytest.mark.parametrize("threads", [1, 3, 50])
def test_every_task_is_run_once_on_as_many_threads_as_pytorch_uses(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    times, workers = (ctypes.c_int * 20)(), set()

    def run(task: int) -> int:
        times[task] += 1
        workers.add(threading.get_ident())
        return 0

    run_tasks(run, 20)
    assert list(times) == [1] * 20
    assert len(workers) <= threads


def test_small_tasks_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(threading.Thread, "join", lambda _: None)
    for worth, helpers in ((1, 7), (4, 1), (6, 0), (100, 0)):
        started.clear()
        run_tasks(lambda _: 0, 10, worth_a_thread=worth)
        assert len(started) == helpers


def test_a_task_without_memory_is_not_passed_over() -> None:
    with pytest.raises(MemoryError):
        run_tasks(lambda task: task == 3, 5)
