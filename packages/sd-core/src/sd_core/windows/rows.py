"""What windows and pictures share: rows of a split, their label columns, their identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sd_core.errors import SdError

if TYPE_CHECKING:
    from datasets import Dataset

_PROBED = 64
"""Rows whose content stands for a foreign dataset in its fingerprint."""
_PROBED_BYTES = 65536
"""Of a picture file, beside its size."""


class Rows:
    """One split: label columns by name; subclasses add the content.

    Args:
        dataset: The split, memory-mapped.
        content: Name of the column that holds signals or pictures.
        meta: Content of `windows.json`, empty for datasets that others made.
        max_samples: Take only the first rows.
        identity: Hash of the split's content, where the dataset knows it.
    """

    def __init__(
        self,
        dataset: Dataset,
        content: str,
        *,
        meta: Mapping[str, Any],
        max_samples: int | None = None,
        identity: str | None = None,
    ) -> None:
        self.meta: dict[str, Any] = dict(meta)
        self._dataset = dataset
        self._content = content
        self._index = row_index(dataset, max_samples)
        self._columns: dict[str, list[Any]] = {}
        basis = identity or self._probe()
        self.fingerprint: str = hashlib.sha256(f"{basis}:{len(self)}".encode()).hexdigest()[:32]
        """Identity of the content; the same in every process."""

    def __len__(self) -> int:
        return len(self._index)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Label columns, without the content."""
        return tuple(name for name in self._dataset.column_names if name != self._content)

    def column(self, name: str) -> list[Any]:
        """Values of a label column, None where missing; class labels come as their names.

        Raises:
            SdError: there is no such column; the sentence lists those there.
        """
        if name not in self._columns:
            if name not in self.column_names:
                there = ", ".join(self.column_names) or "none"
                raise SdError(f"the dataset has no column {name!r}; its columns are: {there}")
            self._columns[name] = self._read(name)
        return self._columns[name]

    def classes(self, name: str) -> tuple[str, ...] | None:
        """The declared values of a class-label column, in index order; None for other columns."""
        names = getattr(self._dataset.features[name], "names", None)
        return None if names is None else tuple(names)

    def _read(self, name: str) -> list[Any]:
        values: list[Any] = self._dataset.data.column(name).take(self._index).to_pylist()
        names = self.classes(name)
        if names is None:
            return values
        return [None if value is None or value < 0 else names[value] for value in values]

    def _probe(self) -> str:
        """A hash over evenly spaced rows, for datasets that do not carry the hash of all their content."""
        probed = self._index[np.linspace(0, len(self._index) - 1, min(_PROBED, len(self._index))).astype(np.int64)]
        digest = hashlib.sha256(json.dumps([len(self._dataset), str(self._dataset.features)]).encode())
        for row in probed.tolist():
            values: dict[str, Any] = self._dataset.data.slice(row, 1).to_pylist()[0]
            values[self._content] = _placeless(values[self._content])
            digest.update(json.dumps(values, default=_plain, sort_keys=True).encode())
        return digest.hexdigest()


def row_index(dataset: Dataset, max_samples: int | None) -> NDArray[np.int64]:
    """Rows of the underlying table in the order of the dataset, which may be a selection of them."""
    # A filtered or shuffled dataset keeps its table and adds a mapping; there is no public name for it.
    mapping = dataset._indices
    index = np.arange(len(dataset)) if mapping is None else mapping.column(0).to_numpy().astype(np.int64)
    return index if max_samples is None else index[:max_samples]


def _placeless(content: Any) -> Any:
    """A picture that is a path, by its file's name and beginning: the same wherever the folder stands."""
    if not isinstance(content, dict) or not content.get("path"):
        return content
    path = Path(content["path"])
    said = {**content, "path": path.name}
    if content.get("bytes") or not path.is_file():  # a missing picture is answered when it is read
        return said
    with path.open("rb") as file:
        return {**said, "bytes": file.read(_PROBED_BYTES), "size": path.stat().st_size}


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return str(value)
