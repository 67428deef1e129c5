"""PhysioNet "EEG During Mental Arithmetic Tasks" 1.0.0 (Zyma et al. 2019, doi:10.3390/data4010014).

`SubjectNN_1.edf` is rest, `SubjectNN_2.edf` serial subtraction. Age and sex come from
`subject-info.csv`, joined by subject: the headers of the EDF files contradict it.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from sd_core.plugin import SdError
from sd_data.build.recorded import Recorded
from sd_data.build.recordings import Recording
from sd_data.options import EegmatOptions

# fmt: off
CHANNELS = (
    "Fp1", "Fp2", "F3", "F4", "Fz", "F7", "F8", "C3", "C4", "Cz",
    "P3", "P4", "Pz", "O1", "O2", "T3", "T4", "T5", "T6", "A2-A1",
)
# fmt: on
"""The corpus's own channels: 19 electrodes against linked ears, and the bipolar derivation of the ears."""
_STATES = {"1": "rest", "2": "arithmetic"}
_FILE = re.compile(r"(Subject\d+)_([12])\.edf", re.IGNORECASE)
_TABLE = "subject-info.csv"


class EegmatCorpus:
    """Rest and mental arithmetic of healthy people.

    Args:
        options: `source` names the folder with the EDF files and `subject-info.csv`.
    """

    def __init__(self, options: EegmatOptions) -> None:
        self._options = options

    def build(self, out: Path) -> None:
        """Write the window dataset to the folder `out`, which does not exist yet.

        Raises:
            SdError: no recordings are found, or one of them cannot be used.
        """
        recorded = Recorded(
            corpus="eegmat",
            recordings=find_recordings(self._options.source),
            channels=CHANNELS,
            source="PhysioNet eegmat 1.0.0, doi:10.13026/C2JQ1P",
            licence="ODC-By 1.0",
        )
        recorded.build(self._options, out)


def find_recordings(source: str) -> list[Recording]:
    """Recordings of the folder, by subject and state.

    Raises:
        SdError: the folder or the table is not there, or a subject is not in the table.
    """
    if not source:
        raise SdError("corpus 'eegmat' needs the folder of its recordings: --source DIR")
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise SdError(f"there is no folder '{folder}': point --source at the folder with SubjectNN_1.edf")
    people = _read_people(folder / _TABLE)
    files = sorted((path, found) for path in folder.iterdir() if (found := _FILE.fullmatch(path.name)))
    if not files:
        raise SdError(f"the folder '{folder}' holds no files named SubjectNN_1.edf or SubjectNN_2.edf")
    recordings = []
    for path, found in files:
        subject = found[1].capitalize()
        if subject not in people:
            raise SdError(f"'{folder / _TABLE}' has no row for {subject}, whose recording is '{path.name}'")
        gender, age = people[subject]
        recordings.append(
            Recording(
                corpus="eegmat",
                subject=subject,
                session="1",
                name=path.stem,
                state=_STATES[found[2]],
                gender=gender,
                health="H",
                age=age,
                path=path,
            )
        )
    return recordings


def _read_people(table: Path) -> dict[str, tuple[str | None, float | None]]:
    """Subject -> (F or M, years)."""
    if not table.is_file():
        raise SdError(f"'{table}' is missing: it holds the age and sex of the subjects and comes with the recordings")
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [name for name in ("Subject", "Age", "Gender") if name not in (rows.fieldnames or ())]
        if missing:
            raise SdError(
                f"'{table}' has no column {', '.join(missing)}; its columns are: {', '.join(rows.fieldnames or ())}"
            )
        people: dict[str, tuple[str | None, float | None]] = {}
        for row in rows:
            try:
                age = float(row["Age"]) if row["Age"] else None
            except ValueError as error:
                raise SdError(f"'{table}': the age of {row['Subject']} is {row['Age']!r}, not a number") from error
            people[row["Subject"].strip().capitalize()] = (row["Gender"].strip().upper()[:1] or None, age)
        return people
