"""best.toml: the setting that a sweep found best, and how other commands pick it up."""

from __future__ import annotations

import tomllib
from pathlib import Path

from sd_core.config.write import literal, to_toml
from sd_core.disk import whole_file
from sd_core.errors import SdError
from sd_core.run.cells import Cell
from sd_core.run.checkpoint import MANIFEST

BEST = "best.toml"


def write_best(folder: Path, cell: Cell, excess: float) -> Path:
    """Write the setting, whole or not at all.

    Args:
        folder: The run directory.
        cell: The best one.
        excess: Its rank, for the reader.
    """
    head = (
        f"# The best setting of a sweep: on average {excess:.3g} times the error of real training windows.\n"
        "# `sd-sample RUN --best` and `sd-evaluate RUN --best` take it; --set wins over it.\n"
    )
    path = folder / BEST
    tables = {"checkpoint": cell.checkpoint.name, "inference": cell.inference}
    with whole_file(path) as scratch:
        scratch.write_text(head + to_toml(tables), encoding="utf-8")
    return path


def read_best(source: Path) -> tuple[Path, list[str], str]:
    """The checkpoint to take, the settings as `--set` takes them, and a sentence about both.

    Args:
        source: A run directory.

    Raises:
        SdError: there is none, it cannot be read, or its checkpoint is gone.
    """
    if (source / MANIFEST).is_file():
        raise SdError(f"--best chooses the checkpoint: name the run directory instead of '{source}'")
    path = source / BEST
    if not path.is_file():
        raise SdError(f"there is no {path}: find the best setting with `sd-evaluate --sweep {source}`")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        name, inference = str(content["checkpoint"]), dict(content["inference"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise SdError(f"{path} is damaged ({error}): sweep again with `sd-evaluate --sweep {source}`") from error
    checkpoint = source / name
    if not checkpoint.is_dir():
        raise SdError(f"{path} names {name}, which is gone: sweep again with `sd-evaluate --sweep {source}`")
    said = [f"{key}={literal(value)}" for key, value in inference.items()]
    return checkpoint, [f"inference.{one}" for one in said], f"{path}: {name}, {', '.join(said)}"
