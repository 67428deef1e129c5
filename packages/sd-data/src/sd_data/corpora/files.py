"""A folder of recordings in any format that MNE reads, and a table that says whose they are."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sd_core.plugin import SdError
from sd_data.build.electrodes import CLASSICAL_19
from sd_data.build.labels import UNKNOWN, gender, mapped, said, years
from sd_data.build.recorded import Recorded
from sd_data.build.recordings import Recording
from sd_data.build.tables import Row, read_table, renamed
from sd_data.corpora.options import TABLE_COLUMNS, FilesOptions, LabelledOptions

SUFFIXES = frozenset({".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif", ".cnt", ".mff", ".nxe", ".eeg", ".egi", ".lay"})
"""Files that look like recordings; a table may name others."""


class FilesCorpus:
    """Recordings of one lab.

    Args:
        options: `source` names the folder, `table` the table in it.
    """

    def __init__(self, options: FilesOptions) -> None:
        self._options = options

    def build(self, out: Path) -> None:
        """Write the window dataset to the folder `out`, which does not exist yet.

        Raises:
            SdError: table and folder do not fit together, or a recording cannot be used.
        """
        options = self._options
        recordings, skipped = find_recordings(options)
        recorded = Recorded(
            corpus=corpus_name(options),
            recordings=recordings,
            channels=CLASSICAL_19,
            source=f"files of the folder '{corpus_name(options)}'",
            licence=options.license,
            skipped=skipped,
        )
        recorded.build(options, out)


def corpus_name(options: LabelledOptions) -> str:
    """As the user calls it, or the folder's own name."""
    return options.corpus or Path(options.source).expanduser().resolve().name


def folder_of(corpus: str, source: str) -> Path:
    """The folder of the recordings.

    Raises:
        SdError: none was named, or it is not there.
    """
    if not source:
        raise SdError(f"corpus '{corpus}' needs the folder of its recordings: --source DIR")
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise SdError(f"there is no folder '{folder}': point --source at the folder of the recordings")
    return folder


def find_recordings(options: FilesOptions) -> tuple[list[Recording], dict[str, str]]:
    """Recordings in the order of the table, and those to leave out (with --skip-bad), with the reason.

    Raises:
        SdError: the table cannot be understood, a file is missing, or one has no row.
    """
    folder = folder_of("files", options.source)
    table = folder / Path(options.table).expanduser()
    names, rows = read_table(table)
    columns = renamed(table, names, TABLE_COLUMNS, options.columns, needed=("file", "subject"))
    _refuse_unknown(table, names, columns, options)
    recordings: list[Recording] = []
    skipped: dict[str, str] = {}
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        recording = _recording(folder, {our: row[their] for our, their in columns.items()}, options, table, number)
        assert recording.path is not None
        if recording.name in seen:
            raise SdError(f"'{table}' names the file '{recording.name}' twice: a recording has one row")
        seen.add(recording.name)
        if recording.path.exists():
            recordings.append(recording)
        else:
            skipped[recording.name] = f"'{recording.path}', named in row {number} of '{table.name}', does not exist"
    skipped |= _unlisted(folder, table, recordings)
    recordings = _without_suffixes(recordings)
    if skipped and not options.skip_bad:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise SdError(f"{next(iter(skipped.values()))}{more}; --skip-bad leaves such files out")
    return recordings, skipped


def _refuse_unknown(table: Path, names: tuple[str, ...], columns: Mapping[str, str], options: FilesOptions) -> None:
    unknown = [name for name in names if name not in {*columns.values(), *options.ignore}]
    if unknown:
        raise SdError(
            f"'{table}' has columns that mean nothing here: {', '.join(unknown)}; known are "
            f"{', '.join(TABLE_COLUMNS)}: rename them, map them as in --set 'columns={{gender=\"{unknown[0]}\"}}', "
            f"or leave them out with "
            f"--set 'ignore=[\"{unknown[0]}\"]'"
        )


def _recording(folder: Path, row: Row, options: FilesOptions, table: Path, number: int) -> Recording:
    where = f"row {number} of '{table}'"
    for column in ("file", "subject"):
        if said(row[column]) is None:
            raise SdError(f"{where} has no {column}")
    path = folder / row["file"]
    cells = {name: mapped(name, row.get(name), options.values, where) for name in ("state", "gender", "health")}
    return Recording(
        corpus=corpus_name(options),
        subject=row["subject"],
        session=said(row.get("session")) or "1",
        name=Path(row["file"]).as_posix(),
        state=cells["state"] or UNKNOWN,
        gender=gender(cells["gender"], where),
        health=cells["health"],
        age=years(row.get("age"), where),
        path=path,
        beside=companions(path),
        caption=said(row.get("caption")),
    )


def _without_suffixes(recordings: list[Recording]) -> list[Recording]:
    """Files go by their name without suffix, unless two would have the same."""
    short = [Path(recording.name).with_suffix("").as_posix() for recording in recordings]
    counts = Counter(short)
    return [
        recording if counts[name] > 1 else replace(recording, name=name)
        for name, recording in zip(short, recordings, strict=True)
    ]


def companions(path: Path) -> tuple[Path, ...]:
    """Files of the same name with another suffix, such as the `.eeg` and `.vmrk` of a `.vhdr`."""
    same = sorted(path.parent.glob(f"{glob.escape(path.stem)}.*")) if path.parent.is_dir() else []
    return tuple(other for other in same if other != path and other.is_file())


def _unlisted(folder: Path, table: Path, recordings: list[Recording]) -> dict[str, str]:
    """Files that look like recordings, and that no row speaks of."""
    spoken_of = {path for recording in recordings for path in (recording.path, *recording.beside)}
    return {
        path.relative_to(folder).as_posix(): f"'{path}' has no row in '{table.name}'"
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path not in spoken_of
    }
