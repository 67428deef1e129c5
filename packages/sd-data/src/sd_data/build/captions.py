"""Labels in words: the templates of `caption` and `description`, in the language that `[conditioning]` has too."""

from __future__ import annotations

from sd_core.plugin import SignalInfo, Template
from sd_data.build.labels import UNKNOWN
from sd_data.build.recordings import Recording

_PERSON = "a(n)[ {health:H=healthy}][ {age:.0f}-year-old] {person}[ {health:H=|PD=with Parkinson's disease|*}]"
_EMOTIONS = "|".join(
    f"{name}=watching a film clip that evokes {name}" for name in ("disgust", "fear", "happiness", "sadness")
)
_STATE = (
    f"{{state:rest=at rest|arithmetic=during mental arithmetic|{_EMOTIONS}|neutral=watching a neutral film clip|*}}"
)
CAPTION = Template(f"EEG of {_PERSON}[, {_STATE}]")
DESCRIPTION = Template(
    "A {seconds:.1f}-second EEG recording with {electrodes:.0f} electrodes at {sfreq} Hz " + f"of {_PERSON}[ {_STATE}]."
)
_PEOPLE = {"F": "woman", "M": "man", None: "person"}
_YOUNG = {"F": "girl", "M": "boy", None: "adolescent"}


def captions(recording: Recording, info: SignalInfo) -> tuple[str, str]:
    """A short caption and a full sentence; labels that are missing are not mentioned.

    Args:
        recording: Its labels.
        info: Geometry of the window.

    Returns:
        (caption, description).
    """
    labels = {
        "person": _person(recording),
        "age": recording.age,
        "health": recording.health,
        "state": None if recording.state == UNKNOWN else recording.state,
        "seconds": info.n_samples / info.sfreq,
        "electrodes": float(info.n_channels),
        "sfreq": info.sfreq,
    }
    return CAPTION.render(labels), DESCRIPTION.render(labels)


def _person(recording: Recording) -> str:
    young = recording.age is not None and recording.age < 18
    return (_YOUNG if young else _PEOPLE).get(recording.gender, "person")
