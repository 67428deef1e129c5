"""Several window datasets as one: what `[dataset] balance` then weighs, nothing is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sd_core.plugin import SdError, SignalInfo
from sd_core.windows.loading import load_splits
from sd_core.windows.opening import open_split, read_meta
from sd_core.windows.reading import WindowSet
from sd_core.windows.writing import refuse_existing, write_windows
from sd_data.build.electrodes import absent, expand, match
from sd_data.build.splitting import SPLITS
from sd_data.corpora.options import MetaOptions

_BATCH = 64
_BETWEEN = "; "
"""Between two licences."""
Part = Mapping[str, WindowSet]
"""Split -> its windows."""


class MetaCorpus:
    """A joint dataset; every window stays in the split that it was in.

    Args:
        options: The parts, and the electrodes to take from them.
    """

    def __init__(self, options: MetaOptions) -> None:
        self._options = options

    def build(self, out: Path) -> None:
        """Write the joint dataset to the folder `out`, which does not exist yet.

        Raises:
            SdError: the parts differ in rate, length, reference or electrodes, or share a recording, or a subject
                stands in two splits.
        """
        refuse_existing(out)
        parts = {name: _open(name) for name in self._options.parts}
        infos = {name: next(iter(part.values())).info for name, part in parts.items()}
        info = joint_info(infos, self._options.channels)
        refuse_shared(parts)
        column = self._options.label_from
        splits = {
            split: _rows({name: part[split] for name, part in parts.items() if split in part}, info, parts, column)
            for split in SPLITS
            if any(split in part for part in parts.values())
        }
        meta = {
            "corpus": "meta",
            "about": _joint_about([_about(name) for name in parts]),
            "parts": [_part_meta(name, part) for name, part in parts.items()],
            "subjects": {split: _people(parts, split) for split in splits},
            "options": self._options.model_dump(mode="json"),
        }
        write_windows(out, splits, info, meta, classes={"label": _classes(parts, column)})


def joint_info(infos: Mapping[str, SignalInfo], channels: tuple[str, ...]) -> SignalInfo:
    """The geometry that all parts can take.

    Args:
        infos: Part -> its geometry.
        channels: Electrodes wanted; empty takes the first part's.

    Raises:
        SdError: they differ in rate, length or reference, or one lacks an electrode.
    """
    first, model = next(iter(infos.items()))
    names = expand(channels, model.channel_names)
    for part, info in infos.items():
        for what, ours, theirs in (
            ("sampling rate", f"{model.sfreq:g} Hz", f"{info.sfreq:g} Hz"),
            ("window", f"{model.n_samples} samples", f"{info.n_samples} samples"),
            ("reference", model.reference, info.reference),
            ("unit", model.unit or "unknown", info.unit or "unknown"),
        ):
            if ours != theirs:
                raise SdError(
                    f"the {what} of '{part}' is {theirs}, of '{first}' {ours}: build them alike and join then"
                )
        missing = absent(names, info.channel_names)
        if missing:
            common = [name for name in names if all(not absent((name,), each.channel_names) for each in infos.values())]
            raise SdError(
                f"'{part}' lacks the electrodes {', '.join(missing)}: take those that all parts have, as in "
                f"--channels {','.join(common) or 'NAMES'}"
            )
    return replace(model, channel_names=names)


def refuse_shared(parts: Mapping[str, Part]) -> None:
    """Check that no recording is in two parts, and that nobody is in two splits.

    Raises:
        SdError: one is; names it.
    """
    recordings: dict[tuple[str, str], str] = {}
    people: dict[tuple[str, str], str] = {}
    for name, part in parts.items():
        for split, windows in part.items():
            corpora = windows.column("corpus")
            for corpus, recording in set(zip(corpora, windows.column("recording"), strict=True)):
                if recordings.setdefault((corpus, recording), name) != name:
                    raise SdError(
                        f"the recording '{recording}' of {corpus} stands in '{recordings[corpus, recording]}' and in "
                        f"'{name}': windows are not to be repeated, balance them with [dataset] balance instead"
                    )
            for corpus, person in set(zip(corpora, windows.column("subject"), strict=True)):
                if people.setdefault((corpus, person), split) != split:
                    raise SdError(
                        f"subject '{person}' of {corpus} stands in '{people[corpus, person]}' and in '{split}' of "
                        "different parts: build those parts in one, so that they are split by subject"
                    )


def _open(name: str) -> Part:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise SdError(f"there is no window dataset at '{folder}': build it first, with sd-data build")
    part: dict[str, WindowSet] = {}
    for split in load_splits(str(folder)):
        windows = open_split(folder, split)
        if not isinstance(windows, WindowSet):
            raise SdError(f"'{folder}' holds pictures; only windows can be joined")
        missing = [column for column in ("corpus", "subject", "recording") if column not in windows.column_names]
        if missing:
            raise SdError(f"'{folder}' has no column {', '.join(missing)}: nobody knows whose its windows are")
        part[split] = windows
    unknown = [split for split in part if split not in SPLITS]
    if unknown:
        raise SdError(f"'{folder}' has the split {', '.join(unknown)}; parts have {', '.join(SPLITS)}")
    return part


def _rows(
    windows: Mapping[str, WindowSet], info: SignalInfo, parts: Mapping[str, Part], label_from: str
) -> Iterator[dict[str, Any]]:
    """The rows of one split, part by part; columns that a part does not have are missing values."""
    columns = dict.fromkeys(name for part in parts.values() for split in part.values() for name in split.column_names)
    columns.pop("label", None)
    for name, part in windows.items():
        places = match(info.channel_names, part.info.channel_names, f"'{name}'")
        values = {column: part.column(column) if column in part.column_names else None for column in columns}
        for start in range(0, len(part), _BATCH):
            rows = range(start, min(start + _BATCH, len(part)))
            for row, signal in zip(rows, part.signals(rows), strict=True):
                labels = {column: None if cells is None else cells[row] for column, cells in values.items()}
                yield {"signal": signal[places], **labels, "label": labels.get(label_from)}


def _classes(parts: Mapping[str, Part], column: str) -> tuple[str, ...]:
    """Values of the label, in the parts' own order where they declare one."""
    declared: list[str] = []
    there: set[str] = set()
    for part in parts.values():
        for windows in part.values():
            if column not in windows.column_names:
                continue
            there |= {str(value) for value in windows.column(column) if value is not None}
            if "label" in windows.column_names and windows.column("label") == windows.column(column):
                declared += windows.classes("label") or ()
    if not there:
        raise SdError(f"label_from is {column}, but no part says the {column}: choose another column")
    return (*(name for name in dict.fromkeys(declared) if name in there), *sorted(there - set(declared)))


def _about(name: str) -> Mapping[str, Any]:
    about: Mapping[str, Any] = read_meta(Path(name).expanduser()).get("about", {})
    return about


def _joint_about(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every licence that holds for some of the windows, and whether some were generated."""
    # A part may be joint itself, and then names several.
    licences = dict.fromkeys(one for about in parts for one in about.get("licence", "").split(_BETWEEN) if one)
    synthetic = any(about.get("synthetic", False) for about in parts)
    return {**({"licence": _BETWEEN.join(licences)} if licences else {}), "synthetic": synthetic}


def _people(parts: Mapping[str, Part], split: str) -> list[str]:
    there = (part[split] for part in parts.values() if split in part)
    pairs = (zip(windows.column("corpus"), windows.column("subject"), strict=True) for windows in there)
    return sorted({f"{corpus}/{person}" for each in pairs for corpus, person in each})


def _part_meta(name: str, part: Part) -> dict[str, Any]:
    """What identifies a part: its own account, without the statistics."""
    meta = {key: value for key, value in read_meta(Path(name).expanduser()).items() if key != "statistics"}
    name = Path(name).expanduser().resolve().name
    return {"name": name, **meta, "windows": {split: len(windows) for split, windows in part.items()}}
