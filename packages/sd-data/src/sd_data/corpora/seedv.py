"""SEED-V: emotions evoked by film clips (Liu et al. 2021, doi:10.1109/TCDS.2021.3071170).

The data set is given out by its authors on request, and no file of it was at hand when this was written:
the reader is tested on files made for the tests. What is known of the layout: `N_S_DATE.cnt` (Neuroscan), person
N of 16, session S of 3, 1000 Hz, 62 electrodes of the 10-10 system, two mastoids and two EOG channels.
"""

from __future__ import annotations

import re
from pathlib import Path

from sd_core.plugin import SdError
from sd_data.build.electrodes import CLASSICAL_19
from sd_data.build.recorded import Recorded
from sd_data.build.recordings import Recording
from sd_data.corpora.files import folder_of
from sd_data.corpora.options import SeedvOptions

CHANNELS = (*CLASSICAL_19, "Oz")
EMOTIONS = ("disgust", "fear", "sadness", "neutral", "happiness")
"""By the number that the data set gives them."""
_FILE = re.compile(r"(\d+)_([123])_(\d+)\.cnt", re.IGNORECASE)

# fmt: off
TRIALS = {
    "1": (
        (30, 102, 4), (132, 228, 1), (287, 524, 3), (555, 742, 2), (773, 920, 0),
        (982, 1240, 4), (1271, 1568, 1), (1628, 1697, 3), (1730, 1994, 2), (2025, 2166, 0),
        (2227, 2401, 4), (2435, 2607, 1), (2667, 2901, 3), (2932, 3172, 2), (3204, 3359, 0),
    ),
    "2": (
        (30, 267, 2), (299, 488, 1), (548, 614, 3), (646, 773, 0), (836, 967, 4),
        (1000, 1059, 4), (1091, 1331, 0), (1392, 1622, 3), (1657, 1777, 2), (1809, 1908, 1),
        (1966, 2153, 3), (2186, 2302, 4), (2333, 2428, 1), (2490, 2709, 2), (2741, 2817, 0),
    ),
    "3": (
        (30, 321, 2), (353, 418, 1), (478, 643, 3), (674, 764, 0), (825, 877, 4),
        (908, 1147, 4), (1200, 1284, 0), (1346, 1418, 3), (1451, 1679, 2), (1711, 1996, 1),
        (2055, 2275, 3), (2307, 2425, 4), (2457, 2664, 1), (2726, 2857, 2), (2888, 3066, 0),
    ),
}
# fmt: on
"""Session -> the clips: start and end in seconds from the start of the file, and the emotion, as
`trial_start_end_timestamp.txt` and `emotion_label_and_stimuli_order.xlsx` of the data set have them."""


class SeedvCorpus:
    """Five emotions; every clip is a recording.

    Args:
        options: `source` names the folder with the `.cnt` files, or one above it.
    """

    def __init__(self, options: SeedvOptions) -> None:
        self._options = options

    def build(self, out: Path) -> None:
        """Write the window dataset to the folder `out`, which does not exist yet.

        Raises:
            SdError: no recordings are found, or one of them cannot be used.
        """
        recorded = Recorded(
            corpus="seed-v",
            recordings=find_recordings(self._options.source),
            channels=CHANNELS,
            source="SEED-V, doi:10.1109/TCDS.2021.3071170",
        )
        recorded.build(self._options, out)


def find_recordings(source: str) -> list[Recording]:
    """The clips of all files, by person, session and order.

    Raises:
        SdError: the folder is not there or holds no such files, or a session of a person stands in two files.
    """
    folder = folder_of("seed-v", source)
    found = [(path, name) for path in folder.rglob("*.cnt") if (name := _FILE.fullmatch(path.name))]
    if not found:
        raise SdError(f"the folder '{folder}' holds no files named N_S_DATE.cnt, such as 1_1_20180804.cnt")
    found.sort(key=lambda each: (int(each[1][1]), each[1][2]))
    seen: dict[tuple[int, str], Path] = {}
    recordings = []
    for path, name in found:
        person, session = int(name[1]), name[2]
        first = seen.setdefault((person, session), path)
        if first != path:
            raise SdError(f"'{first.name}' and '{path.name}' are both session {session} of person {person}: keep one")
        recordings += [
            Recording(
                corpus="seed-v",
                subject=f"{person:02d}",
                session=session,
                name=f"{path.stem}_{number:02d}",
                state=EMOTIONS[emotion],
                gender=None,
                health="H",
                age=None,
                path=path,
                span=(start, stop),
            )
            for number, (start, stop, emotion) in enumerate(TRIALS[session], start=1)
        ]
    return recordings
