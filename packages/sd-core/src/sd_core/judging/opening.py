"""Find out what stands at a path that somebody names, and open it as a set of windows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from sd_core.errors import SdError
from sd_core.judging.archives import read_archives
from sd_core.judging.samples import Rows, Samples, about_of
from sd_core.task import Windows
from sd_core.windows.loading import load_splits
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet

_RECORDINGS = (".fif", ".fif.gz", ".edf", ".bdf", ".vhdr", ".set", ".cnt")


def open_samples(path: Path, flag: str, split: str | None = None) -> Samples:
    """Look at windows: a window dataset, an archive (.npz), or a folder of archives.

    Args:
        path: Where they are.
        flag: That it was given to, for messages.
        split: Of a dataset; None takes the windows of all splits. Archives have none.

    Raises:
        SdError: nothing is there, or it does not hold windows that can be read here.
    """
    named = f"{flag} '{path}'"
    if not path.exists():
        raise SdError(f"{named}: there is no such folder or file")
    if path.is_dir() and not any(path.iterdir()):
        raise SdError(
            f"{named} is empty: it takes a window dataset, or archives as `sd-sample RUN --to npz` writes them"
        )
    if archives := _archives(path):
        return read_archives(archives, named)
    _refuse_others(path, named)
    names = [split] if split is not None else list(load_splits(str(path)))
    opened = [open_split(path, name) for name in names]
    sets = [one for one in opened if isinstance(one, WindowSet)]
    if len(sets) < len(opened):
        raise SdError(f"{named} holds rendered pictures, which cannot be judged as EEG: name a dataset of windows")
    if not sets:
        raise SdError(f"{named} holds no windows")
    return _of_sets(sets, named)


def holds_archives(path: Path) -> bool:
    """Whether `open_samples` reads archives there, which have no splits."""
    return bool(_archives(path))


def _archives(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".npz" else []
    return sorted(file for file in path.glob("*.npz") if not file.name.startswith("."))


def _refuse_others(path: Path, named: str) -> None:
    """Say what to do with what is no set of windows but is often named as one."""
    if (path / "task.json").is_file() or any(path.glob("checkpoint-*/task.json")):
        raise SdError(f"{named} is a trained model: judge it with `sd-evaluate {path}`, or draw from it with sd-sample")
    files = [path] if path.is_file() else path.rglob("*")
    found = next((file for file in files if file.name.lower().endswith(_RECORDINGS)), None)
    if found is None:
        return
    corpus = "bids" if (path / "dataset_description.json").is_file() else "files"
    raise SdError(
        f"{named} holds recordings ({found.name}), not windows: make a dataset of them with "
        f"`sd-data build {corpus} --source {path} -o WINDOWS` and name that, or export with `sd-sample --to npz`"
    )


def _of_sets(sets: Sequence[WindowSet], named: str) -> Samples:
    """The windows of all splits, one after the other, with the labels that every one has."""
    first = sets[0]
    if other := next((one for one in sets if one.info != first.info), None):
        raise SdError(f"the splits of {named} hold {first.info} and {other.info}: they must be alike")
    starts = np.cumsum([0, *(len(one) for one in sets)])
    shared = [name for name in first.column_names if all(name in one.column_names for one in sets)]

    def read(rows: Rows) -> Windows:
        parts = [rows[(rows >= low) & (rows < high)] - low for low, high in pairwise(starts)]
        signal = np.concatenate([one.signals(part.tolist()) for one, part in zip(sets, parts, strict=True)])
        columns = {
            name: [
                values[row]
                for one, part in zip(sets, parts, strict=True)
                for values in [one.column(name)]
                for row in part
            ]
            for name in shared
        }
        return Windows(signal=signal, info=first.info, columns=columns)

    meta = first.meta
    synthetic = bool(meta.get("synthetic"))
    provenance = meta.get("provenance", {}) if synthetic else {}
    return Samples(named, first.info, provenance, synthetic, int(starts[-1]), read, about_of(meta))
