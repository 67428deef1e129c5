"""Windows and old rendered pictures of one split, fetched in batches by row number."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sd_core.errors import SdError
from sd_core.task import SignalInfo
from sd_core.windows.rows import Rows
from sd_core.windows.views import View, window_views

if TYPE_CHECKING:
    from datasets import Dataset

_COLOURS = {"L": "L", "1": "L", "RGB": "RGB", "RGBA": "RGB", "P": "RGB", "LA": "RGB", "CMYK": "RGB"}
"""What each 8-bit kind of picture is read as."""


class WindowSet(Rows):
    """The windows of one split, read through zero-copy views of the memory-mapped Arrow column.

    Args:
        dataset: A split with a `signal` column.
        info: Geometry, without the number of samples: that is read from the data.
        channel_names: Electrode names; None names them ch01, ch02, ...
        sfreq: Sampling rate in Hz.
        reference: Such as "average".
        meta: Content of `windows.json`, where the unit comes from.
        max_samples: Take only the first windows.
        identity: Hash of the content; without it the windows count as foreign and are checked when fetched.

    Raises:
        SdError: the windows are missing, of several shapes or not of the number of electrodes named.
    """

    info: SignalInfo

    def __init__(
        self,
        dataset: Dataset,
        *,
        channel_names: Sequence[str] | None,
        sfreq: float,
        reference: str = "unknown",
        meta: Mapping[str, Any],
        max_samples: int | None = None,
        identity: str | None = None,
    ) -> None:
        self._views, self._starts = _map(dataset)
        super().__init__(dataset, "signal", meta=meta, max_samples=max_samples, identity=identity)
        self._trusted = identity is not None
        _, channels, samples = self._views[0].shape
        names = tuple(channel_names) if channel_names else tuple(f"ch{i + 1:02d}" for i in range(channels))
        if len(names) != channels:
            raise SdError(
                f"{len(names)} channel names are given for windows of {channels} channels: {', '.join(names)}"
            )
        self.info = SignalInfo(
            channel_names=names, n_samples=samples, sfreq=sfreq, reference=reference, unit=str(meta.get("unit") or "")
        )

    def signals(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """The windows at these rows: (len(rows), channels, samples) in the unit of `info`, a fresh array.

        Raises:
            SdError: a window of a dataset that was built elsewhere holds values that are not finite.
            IndexError: a row is out of range.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of a split of {len(self)} windows")
        places = self._index[wanted]
        chunks = np.searchsorted(self._starts, places, side="right") - 1
        out = np.empty((len(wanted), *self._views[0].shape[1:]), dtype=np.float32)
        # One memcpy per window; the loop itself costs less than 0.5 us a window.
        for place, (chunk, row) in enumerate(
            zip(chunks.tolist(), (places - self._starts[chunks]).tolist(), strict=True)
        ):
            out[place] = self._views[chunk][row]
        if not self._trusted:
            _refuse_non_finite(out, wanted)
        return out

    def __getstate__(self) -> dict[str, Any]:
        # A memory map pickles as a path, a view of it as gigabytes: loader workers map for themselves.
        return {key: value for key, value in self.__dict__.items() if key not in ("_views", "_starts")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._views, self._starts = _map(self._dataset)


def _map(dataset: Dataset) -> tuple[list[View], NDArray[np.int64]]:
    """Views of the chunks and the first row of each."""
    views = window_views(dataset.data.column("signal"))
    return views, np.cumsum([0, *(len(view) for view in views[:-1])])


def _refuse_non_finite(signals: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    if np.isfinite(signals.sum()):  # one pass without a temporary; an overflowing sum is looked at below
        return
    bad = rows[~np.isfinite(signals).all(axis=(1, 2))]
    if len(bad):
        listed = ", ".join(map(str, bad[:5].tolist()))
        raise SdError(f"the dataset holds NaN or infinite samples in rows {listed}; leave those rows out")


class PictureSet(Rows):
    """Old rendered pictures of one split: 8-bit, not to be turned back into signals.

    Args:
        dataset: A split with an `image` column of encoded pictures or paths.
        meta: Content of `windows.json`, if any.
        max_samples: Take only the first pictures.

    Raises:
        SdError: a picture is missing, cannot be read, or is not of the first one's kind and size.
    """

    def __init__(self, dataset: Dataset, *, meta: Mapping[str, Any], max_samples: int | None = None) -> None:
        super().__init__(dataset, "image", meta=meta, max_samples=max_samples)
        self.shape: tuple[int, int, int] = self._picture(0).shape
        """(channels, height, width)."""

    def pictures(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """The pictures at these rows: (len(rows), channels, height, width), a fresh array."""
        out = np.empty((len(rows), *self.shape), dtype=np.uint8)
        for place, row in enumerate(rows):
            picture = self._picture(row)
            if picture.shape != self.shape:
                raise SdError(f"picture {row} is {_size(picture.shape)}, the first one {_size(self.shape)}")
            out[place] = picture
        return out

    def _picture(self, row: int) -> NDArray[np.uint8]:
        """(channels, height, width)."""
        cell = self._dataset.data.column("image")[int(self._index[row])].as_py()
        if isinstance(cell, bytes):
            cell = {"bytes": cell}
        if not cell or not (cell.get("bytes") or cell.get("path")):
            raise SdError(f"picture {row} is missing")
        source = io.BytesIO(cell["bytes"]) if cell.get("bytes") else Path(cell["path"])
        try:
            with Image.open(source) as image:
                return _channels_first(image, row)
        except OSError as error:
            raise SdError(f"picture {row} cannot be read: {error}") from error


def _channels_first(image: Image.Image, row: int) -> NDArray[np.uint8]:
    if image.mode not in _COLOURS:
        raise SdError(f"picture {row} is of kind {image.mode}; pictures must be 8-bit gray or colour")
    pixels = np.asarray(image.convert(_COLOURS[image.mode]), dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
