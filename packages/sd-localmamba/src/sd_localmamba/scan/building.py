"""Builds the C kernel of the selective scan with the system's compiler, once per machine.

A plain shared library without headers of PyTorch or Python: a second to compile, loaded through ctypes, and
none the worse for another version of either.
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
from collections.abc import Sequence
from pathlib import Path

BLOCK = 64
"""Channels of one task. Part of the result's rounding, so it does not depend on the number of threads."""

_SOURCE = Path(__file__).with_name("kernel.c")
_FLAGS = ("-O3", "-shared", "-fPIC")


class KernelUnavailable(Exception):  # noqa: N818  not an error: there is another implementation
    """This machine cannot build the kernel; the message says why."""


@functools.cache
def load_kernel(*, double: bool, chunk: int) -> ctypes.CDLL:
    """The library with `forward` and `backward`, from the cache or freshly compiled.

    Args:
        double: For float64, else for float32.
        chunk: Positions between two saved states.

    Raises:
        KernelUnavailable: no compiler, or none that understands the source.
    """
    defines = [f"-DCHUNK={chunk}", f"-DBLOCK={BLOCK}", *(["-DDOUBLE"] if double else [])]
    compiler = find_compiler()
    name = f"scan-{_fingerprint(compiler, defines)}.so"
    library = _open(cache_folder() / name)
    if library is None:
        built = _build(compiler, defines, writable_folder(), name)
        library = _open(built)
    if library is None:
        raise KernelUnavailable(f"'{built}' was compiled but cannot be loaded")
    for function in (library.forward, library.backward):
        function.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
        function.restype = ctypes.c_int
    return library


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


def _fingerprint(compiler: Sequence[str], defines: Sequence[str]) -> str:
    """Changes with the source, the flags, the compiler and the processor it optimises for."""
    version = _run([*compiler, "--version"]).stdout
    parts = [_SOURCE.read_text(), *_FLAGS, *defines, *compiler, version, platform.machine(), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Model and features as Linux lists them; elsewhere, what Python knows."""
    described = Path("/proc/cpuinfo")
    if not described.exists():
        return platform.processor()
    kept = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in described.read_text().splitlines() if line.startswith(kept)}))


def _build(compiler: Sequence[str], defines: Sequence[str], folder: Path, name: str) -> Path:
    """Compile beside the target and move it there: no process ever sees half a library."""
    failure = ""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = Path(scratch) / name
        for tuning in (["-march=native"], ["-mcpu=native"], []):
            result = _run([*compiler, *_FLAGS, *tuning, *defines, str(_SOURCE), "-o", str(built)])
            if result.returncode == 0:
                return built.replace(folder / name)
            failure = result.stderr
    reason = next((line for line in failure.splitlines() if "error" in line), "no reason given")
    raise KernelUnavailable(f"'{compiler[0]}' does not compile it: {reason.strip()}")


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
