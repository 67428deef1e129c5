"""From a name to a split: ours, or a dataset that somebody else made."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_core.errors import SdError
from sd_core.windows.loading import load_splits
from sd_core.windows.reading import PictureSet, WindowSet

if TYPE_CHECKING:
    from datasets import Dataset

META_FILE = "windows.json"
"""What `write_windows` knows about a dataset, beside its splits."""
_DEFAULT_SFREQ = 125.0
_log = logging.getLogger(__name__)


def open_split(
    name: str | Path,
    split: str,
    *,
    sfreq: float | None = None,
    channel_names: Sequence[str] | None = None,
    max_samples: int | None = None,
) -> WindowSet | PictureSet:
    """Open one split of a dataset: windows where it has a `signal` column, else pictures (`image`).

    Args:
        name: A folder (as `locate` returns it) with a dataset saved by `datasets`, parquet files or an
            imagefolder; a parquet file; or a hub id.
        split: Such as "train".
        sfreq: Sampling rate in Hz, for datasets that do not say it.
        channel_names: Electrode names, for datasets that do not say them.
        max_samples: Take only the first rows.

    Raises:
        SdError: the dataset or the split is not there, is empty, has neither column or is malformed; or a
            subject stands in two splits.
    """
    splits = load_splits(str(name))
    if split not in splits:
        raise SdError(
            f"dataset '{name}' has no split {split!r}; its splits are: {', '.join(splits)}. Name one of them as "
            'dataset.train_split, val_split or test_split; without one for validation, training.eval_strategy = "no"'
        )
    if not len(splits[split]):
        raise SdError(f"the split {split!r} of dataset '{name}' is empty")
    refuse_shared_subjects(splits, str(name))
    dataset, meta = splits[split], read_meta(name)
    if "signal" in dataset.column_names:
        return _open_windows(
            name, split, dataset, meta=meta, sfreq=sfreq, channel_names=channel_names, max_samples=max_samples
        )
    if "image" in dataset.column_names:
        _say_once(f"dataset '{name}' holds rendered pictures: 8 bits deep, and not to be turned back into EEG")
        return PictureSet(dataset, meta=meta, max_samples=max_samples)
    there = ", ".join(dataset.column_names)
    raise SdError(f"dataset '{name}' has neither a column 'signal' nor a column 'image'; its columns are: {there}")


def read_meta(name: str | Path) -> dict[str, Any]:
    """Content of `windows.json`; empty for datasets that others made."""
    path = Path(name) / META_FILE
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise SdError(f"'{path}' is damaged ({error}); build the dataset again") from error
    return content


def refuse_shared_subjects(splits: Mapping[str, Dataset], name: str) -> None:
    """Check that no subject stands in two splits; subjects of different corpora are different people.

    Raises:
        SdError: some do; they are named.
    """
    seen: dict[tuple[Any, ...], str] = {}
    for split, dataset in splits.items():
        if "subject" not in dataset.column_names:
            continue
        columns = [column for column in ("corpus", "subject") if column in dataset.column_names]
        people = {tuple(person.values()) for person in _distinct(dataset, columns)}
        shared = sorted({str(person[-1]) for person in people if seen.setdefault(person, split) != split})
        if shared:
            listed = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
            raise SdError(
                f"dataset '{name}': {len(shared)} subjects stand in '{split}' and in another split ({listed}); "
                "split it by subject, or a model is judged on people it has learned"
            )


def _distinct(dataset: Dataset, columns: list[str]) -> list[dict[str, Any]]:
    from sd_core.windows.rows import row_index

    table = dataset.data.table.select(columns)
    if dataset._indices is not None:
        table = table.take(row_index(dataset, None))
    rows = table.group_by(columns).aggregate([]).to_pylist()
    return [{column: row[column] for column in columns} for row in rows if row["subject"] is not None]


def _open_windows(
    name: str | Path,
    split: str,
    dataset: Dataset,
    *,
    meta: dict[str, Any],
    sfreq: float | None,
    channel_names: Sequence[str] | None,
    max_samples: int | None,
) -> WindowSet:
    said_rate, said_names = meta.get("sfreq"), meta.get("channel_names")
    if sfreq is not None and said_rate is not None and sfreq != said_rate:
        raise SdError(
            f"dataset '{name}' was built at {said_rate:g} Hz, but dataset.sfreq says {sfreq:g}: leave the key out"
        )
    if channel_names and said_names and list(channel_names) != list(said_names):
        raise SdError(f"dataset '{name}' has the electrodes {', '.join(said_names)}: leave dataset.channel_names out")
    if said_rate is None and sfreq is None:
        _say_once(f"dataset '{name}' does not say its sampling rate: taking {_DEFAULT_SFREQ:g} Hz; set dataset.sfreq")
    if said_names is None and not channel_names:
        _say_once(f"dataset '{name}' does not name its electrodes: taking ch01, ch02, ...; set dataset.channel_names")
    return WindowSet(
        dataset,
        channel_names=channel_names or said_names,
        sfreq=float(sfreq or said_rate or _DEFAULT_SFREQ),
        reference=meta.get("reference", "unknown"),
        meta=meta,
        max_samples=max_samples,
        identity=meta.get("splits", {}).get(split, {}).get("sha256"),
    )


@cache
def _say_once(sentence: str) -> None:
    _log.warning(sentence)
