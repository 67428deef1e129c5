"""Builds C kernels with the system's compiler, once per machine, and runs them on PyTorch's number of threads.

Plain shared libraries without headers of PyTorch or Python: a second to compile, loaded through ctypes, and none
the worse for another version of either.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

_HEADERS = Path(__file__).parent
"""What every kernel may include."""
_FLAGS = ("-O3", "-shared", "-fPIC", f"-I{_HEADERS}")


class KernelUnavailable(Exception):  # noqa: N818  not an error: there is another implementation
    """This machine cannot build the kernel; the message says why."""


@functools.cache
def load_library(source: Path, defines: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The functions of a C file, from the cache or freshly compiled.

    They are told their argument types by who calls them.

    Args:
        source: The file; it may include the headers beside this module.
        defines: Of the preprocessor, "NAME" or "NAME=value".

    Raises:
        KernelUnavailable: no compiler, or none that understands the source.
    """
    compiler = find_compiler()
    flags = [*_FLAGS, *(f"-D{define}" for define in defines)]
    name = f"{source.stem}-{_fingerprint(compiler, source, flags)}.so"
    library = _open(cache_folder() / name)
    if library is None:
        built = _build([*compiler, *flags], source, writable_folder() / name)
        library = _open(built)
    if library is None:
        raise KernelUnavailable(f"'{built}' was compiled but cannot be loaded")
    return library


def run_tasks(run: Callable[[int], int], tasks: int, *, worth_a_thread: int = 1) -> None:
    """Run every task once, on as many threads as PyTorch uses; ctypes lets go of the interpreter meanwhile.

    Args:
        run: Of the number of a task; anything but 0 says that memory was short.
        tasks: Their count.
        worth_a_thread: How many of them outweigh the start of a thread, some 50 microseconds.

    Raises:
        MemoryError: A task could not get its memory.
    """
    numbers, failed = iter(range(tasks)), []

    def work() -> None:
        for task in numbers:
            if run(task):
                failed.append(task)

    helpers = [threading.Thread(target=work) for _ in range(min(torch.get_num_threads(), tasks // worth_a_thread) - 1)]
    for helper in helpers:
        helper.start()
    try:
        work()
    finally:  # an interrupt would free the memory that helpers still write to
        for helper in helpers:
            helper.join()
    if failed:
        raise MemoryError("no memory for a compiled kernel")


def find_compiler() -> list[str]:
    """Command of the C compiler: `$CC`, else the first of cc, gcc and clang.

    Raises:
        KernelUnavailable: there is none.
    """
    candidates = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    raise KernelUnavailable(f"no C compiler ({', '.join(command[0] for command in candidates)})")


def cache_folder() -> Path:
    """`$SIGNAL_DIFFUSION_CACHE/kernels`, else `~/.cache/signal-diffusion/kernels`; it need not exist."""
    root = Path(os.environ.get("SIGNAL_DIFFUSION_CACHE") or "~/.cache/signal-diffusion")
    try:
        return root.expanduser() / "kernels"
    except RuntimeError:  # containers run users without a home
        return Path(_temporary_folder().name)


def writable_folder() -> Path:
    """The cache, or where that cannot be written, a folder that goes with this process."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # permissions do not tell of quotas and network file systems
    except OSError:
        return Path(_temporary_folder().name)
    return folder


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="signal-diffusion-")


def _fingerprint(compiler: Sequence[str], source: Path, flags: Sequence[str]) -> str:
    """Changes with the source, the headers, the flags, the compiler and the processor it optimises for."""
    texts = [file.read_text() for file in (source, *sorted(_HEADERS.glob("*.h")))]
    version = _run([*compiler, "--version"]).stdout
    parts = [*texts, *flags, *compiler, version, platform.machine(), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Model and features as Linux lists them; elsewhere, what Python knows."""
    described = Path("/proc/cpuinfo")
    if not described.exists():
        return platform.processor()
    kept = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in described.read_text().splitlines() if line.startswith(kept)}))


def _build(command: Sequence[str], source: Path, target: Path) -> Path:
    """Compile beside the target and move it there: no process ever sees half a library."""
    failure = ""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        built = Path(scratch) / target.name
        for tuning in (["-march=native"], ["-mcpu=native"], []):
            result = _run([*command, *tuning, str(source), "-o", str(built)])
            if result.returncode == 0:
                return built.replace(target)
            failure = result.stderr
    reason = next((line for line in failure.splitlines() if "error" in line), "no reason given")
    raise KernelUnavailable(f"'{command[0]}' does not compile it: {reason.strip()}")


def _open(path: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # not there yet, or not of this machine
        return None


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelUnavailable(f"'{command[0]}' does not run: {error}") from error
