"""Any EEG folder in the Brain Imaging Data Structure (Pernet et al. 2019, doi:10.1038/s41597-019-0104-8)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from sd_core.plugin import SdError
from sd_data.build.edf import WIDTHS, refuse_damaged
from sd_data.build.electrodes import CLASSICAL_19
from sd_data.build.labels import gender, mapped, years
from sd_data.build.recorded import Recorded
from sd_data.build.recordings import Recording, Signals, reading, signals_of
from sd_data.build.tables import Row, read_table, renamed
from sd_data.corpora.files import companions, corpus_name, folder_of
from sd_data.corpora.options import BidsOptions

_SUFFIXES = frozenset({".edf", ".bdf", ".vhdr", ".set", ".fif"})
_TABLE = "participants.tsv"
_GROUPS = ("group", "diagnosis", "disease", "patient", "type")
"""Columns that often hold the health."""
_log = logging.getLogger(__name__)


class BidsCorpus:
    """Recordings of a BIDS folder.

    Args:
        options: `source` names the folder with `participants.tsv`.
    """

    def __init__(self, options: BidsOptions) -> None:
        self._options = options

    def build(self, out: Path) -> None:
        """Write the window dataset to the folder `out`, which does not exist yet.

        Raises:
            SdError: the folder is none of BIDS, or a recording cannot be used.
        """
        options = self._options
        recordings, skipped = find_recordings(options)
        recorded = Recorded(
            corpus=corpus_name(options),
            recordings=recordings,
            channels=CLASSICAL_19,
            source=f"BIDS folder '{corpus_name(options)}'",
            licence=options.license or licence_of(folder_of("bids", options.source)),
            skipped=skipped,
            read=read_bids,
            line_from_file=options.line_from_sidecar,
        )
        recorded.build(options, out)


def licence_of(folder: Path) -> str:
    """What `dataset_description.json` says, empty where it says nothing.

    Raises:
        SdError: the file is damaged.
    """
    path = folder / "dataset_description.json"
    if not path.is_file():
        return ""
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise SdError(f"'{path}' is damaged ({error}): mend or remove it") from error
    licence = told.get("License") if isinstance(told, dict) else None
    return licence.strip() if isinstance(licence, str) else ""


def read_bids(recording: Recording) -> Signals:
    """The samples, with bad channels, bad stretches and power line as the sidecars say.

    Raises:
        SdError: the file or a sidecar cannot be read.
    """
    from mne_bids import get_bids_path_from_fname, read_raw_bids

    path = recording.path
    assert path is not None
    with reading(path):
        if path.suffix.lower() in WIDTHS:
            refuse_damaged(path)
        # BIDS has no FIF files of EEG alone; labs have, and the check would refuse them.
        raw = read_raw_bids(get_bids_path_from_fname(path, check=False, verbose="error"), verbose="error")
        return signals_of(raw, str(path))


def find_recordings(options: BidsOptions) -> tuple[list[Recording], dict[str, str]]:
    """Recordings by subject, session, task and run, and those to leave out (with --skip-bad), with the reason.

    Raises:
        SdError: there is no folder, no table, no recording, or a subject without a row.
    """
    folder = folder_of("bids", options.source)
    people = _people(folder / _TABLE, options)
    paths = [
        path
        for kind in ("eeg", "meg")
        for pattern in (f"sub-*/{kind}", f"sub-*/ses-*/{kind}")
        for path in folder.glob(f"{pattern}/*_{kind}.*")
        if path.suffix.lower() in _SUFFIXES
    ]
    chosen = sorted(path for path in paths if not options.tasks or _entities(path).get("task") in options.tasks)
    if not chosen:
        what = f" of the task {' or '.join(options.tasks)}" if options.tasks and paths else ""
        raise SdError(f"'{folder}' holds no recordings{what} named sub-NAME/eeg/sub-NAME_task-TASK_eeg.edf or the like")
    known = [path for path in chosen if _entities(path)["sub"] in people]
    skipped = {
        path.stem: f"'{path.name}' is of sub-{_entities(path)['sub']}, who has no row in '{_TABLE}'"
        for path in chosen
        if path not in known
    }
    if skipped and not options.skip_bad:
        raise SdError(f"{next(iter(skipped.values()))}: add one, or leave such recordings out with --skip-bad")
    return [_recording(path, people, options) for path in known], skipped


def _recording(path: Path, people: Mapping[str, Row], options: BidsOptions) -> Recording:
    entities = _entities(path)
    row, where = people[entities["sub"]], f"sub-{entities['sub']} in '{_TABLE}'"
    cells = {name: mapped(name, row.get(name), options.values, where) for name in ("gender", "health")}
    task = entities.get("task", "")
    return Recording(
        corpus=corpus_name(options),
        subject=entities["sub"],
        session=entities.get("ses", "1"),
        name=path.stem.rpartition("_")[0],
        state=mapped("state", task, options.values, f"'{path.name}'") or "unknown",
        gender=gender(cells["gender"], where),
        health=cells["health"],
        age=years(row.get("age"), where),
        path=path,
        beside=_sidecars(path, Path(options.source).expanduser()),
    )


def _entities(path: Path) -> dict[str, str]:
    """`sub-01_ses-2_task-rest_eeg.edf` -> {"sub": "01", "ses": "2", "task": "rest"}."""
    return {key: value for key, dash, value in (part.partition("-") for part in path.stem.split("_")) if dash}


def _sidecars(path: Path, folder: Path) -> tuple[Path, ...]:
    """Files that change how a recording is read, its own and the whole folder's."""
    own = path.parent.glob(f"{path.stem.rpartition('_')[0]}_*.*")
    shared = [*folder.glob("*_eeg.json"), *folder.glob("*_channels.tsv")]
    return tuple(sorted({*companions(path), *own, *shared} - {path}))


def _people(table: Path, options: BidsOptions) -> dict[str, Row]:
    """Subject, without "sub-" -> age, gender and health as the table has them."""
    if not table.is_file():
        raise SdError(
            f"'{table.parent}' has no {_TABLE}: point --source at the folder of a BIDS dataset that has it, or make "
            "one with a row for every subject"
        )
    names, rows = read_table(table)
    chosen = dict(options.columns)
    sex = next((name for name in names if name.lower() == "sex"), None)
    if sex and "gender" not in chosen:
        chosen["gender"] = sex
    columns = renamed(table, names, ("gender", "health", "age"), chosen)
    identity = renamed(table, names, ("participant_id",), {}, needed=("participant_id",))["participant_id"]
    group = next((name for name in names if name.lower() in _GROUPS), None)
    if group and "health" not in columns:
        _log.warning(
            "'%s' has a column '%s', which is not used: --set 'columns={health=\"%s\"}' makes it the health",
            table, group, group,
        )  # fmt: skip
    return {row[identity].removeprefix("sub-"): {our: row[their] for our, their in columns.items()} for row in rows}
