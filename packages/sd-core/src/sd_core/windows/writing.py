"""Write a window dataset: streamed, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sd_core.disk import disk_errors
from sd_core.errors import SdError
from sd_core.task import SignalInfo
from sd_core.windows.opening import META_FILE
from sd_core.windows.statistics import RunningStatistics

if TYPE_CHECKING:
    from datasets import Features

_BATCH_BYTES = 16 * 2**20
"""Size of an Arrow record batch: what a split keeps in memory while it is written."""
_NOTHING = "nothing was left there"


def write_windows(
    out: Path,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    info: SignalInfo,
    meta: Mapping[str, Any],
    *,
    classes: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Write a dataset that `datasets.load_from_disk` and `open_split` read.

    Windows are taken one at a time, so the splits may be generators. The folder appears under its name
    when everything is in it; whatever goes wrong before leaves nothing behind.

    Args:
        out: Folder to make; must not exist.
        splits: Split name -> rows: `signal` (channels, samples) float32 in the unit of `info`, and label
            columns, the same ones in every row. None is a missing value.
        info: Geometry of every window.
        meta: Goes into `windows.json` beside the geometry, the splits' sizes and hashes, and the statistics
            of the train split. Read after the last window, so rows may still fill it.
        classes: Columns stored as class labels -> their values in index order.

    Raises:
        SdError: `out` exists or cannot be written, the disk is full, a split is empty, a window is not
            finite or not of the geometry, or a column mixes kinds of values.
    """
    refuse_existing(out)
    scratch = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        with disk_errors(out, _NOTHING):
            scratch.mkdir(parents=True)
        written = {
            name: _SplitWriter(scratch / name, name, info, classes or {}).write(rows) for name, rows in splits.items()
        }
        with disk_errors(out, _NOTHING):
            _write_json(scratch / "dataset_dict.json", {"splits": list(written)})
            _write_json(scratch / META_FILE, _full_meta(info, meta, written))
            scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refuse_existing(out: Path) -> None:
    """Check that a dataset may be made under this name.

    Raises:
        SdError: something stands there.
    """
    if out.exists():
        raise SdError(f"'{out}' exists already: remove it or name another folder")


def _full_meta(info: SignalInfo, meta: Mapping[str, Any], written: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    geometry = {
        "format": 1,
        "channel_names": list(info.channel_names),
        "n_samples": info.n_samples,
        "sfreq": info.sfreq,
        **({"unit": info.unit} if info.unit else {}),
        "reference": info.reference,
    }
    statistics = {name: summary.pop("statistics") for name, summary in written.items()}
    return {**geometry, **meta, "splits": dict(written), "statistics": {"train": statistics.get("train")}}


class _SplitWriter:
    """One split as one Arrow stream with the two small files that `datasets` expects beside it."""

    def __init__(self, folder: Path, name: str, info: SignalInfo, classes: Mapping[str, tuple[str, ...]]) -> None:
        self._folder, self._name, self._info, self._classes = folder, name, info, classes
        self._statistics = RunningStatistics(info.n_channels)
        self._hash = hashlib.sha256()

    def write(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Write all rows; returns what `windows.json` says about the split."""
        per_batch = max(1, _BATCH_BYTES // (4 * self._info.n_channels * self._info.n_samples))
        count, features, writer = 0, None, None
        with disk_errors(self._folder, _NOTHING):
            self._folder.mkdir()
            sink = pa.OSFile(str(self._folder / "data-00000-of-00001.arrow"), "wb")
        try:
            for batch in _batches(rows, per_batch):
                signals = np.stack([self._checked(row, count + i) for i, row in enumerate(batch)])
                features = features or _features(batch, self._info, self._classes)
                with disk_errors(self._folder, _NOTHING):
                    writer = writer or pa.ipc.new_stream(sink, features.arrow_schema)
                    writer.write_batch(_record_batch(batch, signals, features))
                count += len(batch)
            if writer is None or features is None:
                raise SdError(f"the split '{self._name}' has no windows; give it a larger share or more recordings")
            with disk_errors(self._folder, _NOTHING):
                writer.close()
        finally:
            with disk_errors(self._folder, _NOTHING):
                sink.close()
        with disk_errors(self._folder, _NOTHING):
            _write_state(self._folder, self._name, features, self._hash.hexdigest())
        return {"windows": count, "sha256": self._hash.hexdigest(), "statistics": self._statistics.summary()}

    def _checked(self, row: Mapping[str, Any], number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        signal = np.ascontiguousarray(row["signal"], dtype=np.float32)
        expected = (self._info.n_channels, self._info.n_samples)
        where = f"window {number} of the split '{self._name}' ({row.get('recording', 'unnamed recording')})"
        if signal.shape != expected:
            raise SdError(f"{where} has the shape {signal.shape}, not {expected}")
        if not np.isfinite(signal).all():
            raise SdError(f"{where} holds NaN or infinite samples")
        labels = {name: value for name, value in row.items() if name != "signal"}
        self._hash.update(signal.data)
        self._hash.update(json.dumps(labels, sort_keys=True, default=str).encode())
        self._statistics.add(signal)
        return signal


def _batches(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _features(batch: list[Mapping[str, Any]], info: SignalInfo, classes: Mapping[str, tuple[str, ...]]) -> Features:
    """Column types, from the first batch."""
    from datasets import Array2D, ClassLabel, Features, Value

    columns: dict[str, Any] = {"signal": Array2D((info.n_channels, info.n_samples), "float32")}
    for name in batch[0]:
        if name in classes:
            columns[name] = ClassLabel(names=list(classes[name]))
        elif name == "age":  # often missing, even in a whole batch
            columns[name] = Value("float32")
        elif name != "signal":
            columns[name] = Value(_kind([row.get(name) for row in batch]))
    return Features(columns)


def _kind(values: list[Any]) -> str:
    """The narrowest type that holds all values; text where all are missing or of several kinds."""
    types = {type(value) for value in values if value is not None}
    for kind, members in (
        ("bool", (bool, np.bool_)),
        ("int64", (int, np.integer)),
        ("float64", (int, float, np.integer, np.floating)),
    ):
        if types and all(issubclass(each, members) and (each is not bool or kind == "bool") for each in types):
            return kind
    return "string"


def _record_batch(batch: list[Mapping[str, Any]], signals: Any, features: Features) -> pa.RecordBatch:
    schema = features.arrow_schema
    n, channels, samples = signals.shape
    inner = pa.ListArray.from_arrays(
        pa.array(np.arange(0, signals.size + 1, samples, dtype=np.int32)), pa.array(signals.reshape(-1))
    )
    outer = pa.ListArray.from_arrays(pa.array(np.arange(0, n * channels + 1, channels, dtype=np.int32)), inner)
    arrays: list[Any] = []
    for field in schema:
        if field.name == "signal":
            arrays.append(pa.ExtensionArray.from_storage(field.type, outer))
            continue
        values = [row.get(field.name) for row in batch]
        names = getattr(features[field.name], "names", None)
        if names is not None:
            values = [None if value is None else names.index(value) for value in values]
        arrays.append(_array(field.name, values, field.type))
    return pa.record_batch(arrays, schema=schema)


def _array(name: str, values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        if pa.types.is_integer(kind):  # Arrow cuts fractions off without a word
            broken = [value for value in values if isinstance(value, (float, np.floating))]
            if broken:
                raise pa.ArrowInvalid(f"{broken[0]} is not a whole number")
        return pa.array(values, type=kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SdError(
            f"the column '{name}' began as {kind} and cannot hold a later value ({error}): "
            "give it values of one kind in every window, None where they are missing"
        ) from error


def _write_state(folder: Path, split: str, features: Features, fingerprint: str) -> None:
    from datasets import DatasetInfo

    DatasetInfo(features=features).write_to_directory(str(folder))
    state: dict[str, Any] = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_fingerprint": fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    _write_json(folder / "state.json", state)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
