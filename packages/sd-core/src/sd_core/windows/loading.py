"""All splits of a dataset on disk or on the hub, memory-mapped, whatever wrote them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sd_core.errors import SdError
from sd_core.windows.locate import WAYS_ON

if TYPE_CHECKING:
    from datasets import Dataset

_log = logging.getLogger(__name__)
_HUB_SECONDS = 10.0
_SAVED = ("state.json", "dataset_dict.json")
"""Of a split, and of a dataset."""
_RECORDINGS = frozenset({".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif", ".cnt"})


def load_splits(name: str) -> dict[str, Dataset]:
    """Splits by name: a saved dataset, parquet files, an imagefolder, or a hub id.

    A dataset without splits is one split, "train".

    Raises:
        SdError: there is no dataset, it cannot be read, or several stand below the folder.
    """
    path = Path(name)
    if not path.exists():
        return _load_from_hub(name)
    try:
        return _load_saved(path) or _load_files(path)
    except (OSError, ValueError, RuntimeError, KeyError) as error:  # what damaged or unknown files raise
        raise SdError(f"the dataset at '{name}' cannot be read: {_damaged(path)}{_first_line(error)}") from error


def _load_saved(path: Path) -> dict[str, Dataset]:
    """What `save_to_disk` or `write_windows` left: one folder per split, or a single split."""
    if (path / "state.json").is_file():
        return {"train": _load_split(path)}
    if (path / "dataset_dict.json").is_file():
        names = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    else:
        names = sorted(state.parent.name for state in path.glob("*/state.json")) if path.is_dir() else []
    return {name: _load_split(path / name) for name in names}


def _load_split(folder: Path) -> Dataset:
    from datasets import Dataset

    if not json.loads((folder / "state.json").read_text(encoding="utf-8"))["_data_files"]:
        return Dataset.from_dict({})  # `datasets` writes an empty split, but cannot read it back
    return Dataset.load_from_disk(str(folder))


def _load_files(path: Path) -> dict[str, Dataset]:
    """Parquet files or an imagefolder; `datasets` turns them into Arrow files in its cache once."""
    from datasets import load_dataset

    _refuse_several(path)
    if any(file.suffix.lower() in _RECORDINGS for file in ([path] if path.is_file() else path.iterdir())):
        raise SdError(f"'{path}' holds recordings, not windows; {WAYS_ON.format(name='DATASET')}")
    if path.is_dir() and not any(path.iterdir()):
        raise SdError(f"the folder '{path}' is empty; {WAYS_ON.format(name=path)}")
    with _quietly():
        if path.is_file():
            return dict(load_dataset("parquet", data_files=str(path)))
        return dict(load_dataset(str(path)))


def _refuse_several(path: Path) -> None:
    """`datasets` would take all files below a folder for one dataset, those of saved datasets, too."""
    found = sorted({file.parent for depth in ("*", "*/*") for mark in _SAVED for file in path.glob(f"{depth}/{mark}")})
    datasets = [folder for folder in found if folder.parent not in found and folder.name[0] != "."]  # no split, no half
    if datasets:
        names = " or ".join(f"'{folder}'" for folder in datasets[:5]) + (" or ..." if len(datasets) > 5 else "")
        raise SdError(f"'{path}' is not a dataset but a folder of datasets: name {names}")


@contextmanager
def _quietly() -> Iterator[None]:
    """`datasets` prints what it then raises, twice where somebody set up logging."""
    printer = logging.getLogger("datasets.packaged_modules")
    before = printer.level
    printer.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        printer.setLevel(before)


def _damaged(path: Path) -> str:
    """The parquet file that cannot be read, where that is why: the reader does not name it."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    for file in sorted(path.rglob("*.parquet")):
        try:
            read_schema(file)
        except (OSError, ArrowInvalid):
            return f"{file.relative_to(path)}: "
    return ""


def _load_from_hub(name: str) -> dict[str, Dataset]:
    from datasets import load_dataset

    _refuse_unknown(name)
    try:
        found = dict(load_dataset(name))
    except ConnectionError as error:
        raise _unknown(name, "the hub cannot be reached") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise SdError(f"the hub dataset '{name}' cannot be read: {_first_line(error)}") from error
    _log.warning("there is no folder '%s' here or under the data root: it is the hub's dataset of that name", name)
    return found


def _refuse_unknown(name: str) -> None:
    """Ask the hub once: `load_dataset` alone retries for half a minute where there is no network."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if constants.HF_HUB_OFFLINE:  # then only a copy in the cache will do, and `datasets` looks there
        return
    try:
        with urlopen(
            Request(f"{constants.ENDPOINT}/api/datasets/{name}", headers=build_hf_headers()), timeout=_HUB_SECONDS
        ):
            pass
    except HTTPError as error:  # 401 is what it says of names that it does not know, too
        absent = error.code in {401, 403, 404}
        why = "the hub has none that you may read" if absent else f"the hub answers {error.code} {error.reason}"
        raise _unknown(name, why) from error
    except OSError as error:
        raise _unknown(name, "the hub cannot be reached") from error


def _unknown(name: str, why: str) -> SdError:
    return SdError(
        f"no dataset '{name}': there is no such folder here or under the data root ([settings] data_root, "
        f"SIGNAL_DIFFUSION_DATA), and {why}; "
        f"{WAYS_ON.format(name=name)}"
    )


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
