"""Labels in words: the templates of `caption` and `description`."""

from __future__ import annotations

from sd_core.plugin import SignalInfo
from sd_data.build.recordings import Recording

_HEALTH = {"H": "healthy", "PD": "with Parkinson's disease"}
_PEOPLE = {"F": "woman", "M": "man", None: "person"}
_YOUNG = {"F": "girl", "M": "boy", None: "adolescent"}
_STATES = {"rest": "at rest", "arithmetic": "during mental arithmetic"}


def captions(recording: Recording, info: SignalInfo) -> tuple[str, str]:
    """A short caption and a full sentence; labels that are missing are not mentioned.

    Args:
        recording: Its labels.
        info: Geometry of the window.

    Returns:
        (caption, description).
    """
    person, state = _person(recording), _STATES.get(recording.state, recording.state)
    seconds = info.n_samples / info.sfreq
    return (
        f"EEG of {person}, {state}",
        f"A {seconds:.1f}-second EEG recording with {info.n_channels} electrodes at {info.sfreq:g} Hz "
        f"of {person} {state}.",
    )


def _person(recording: Recording) -> str:
    young = recording.age is not None and recording.age < 18
    noun = (_YOUNG if young else _PEOPLE).get(recording.gender, "person")
    if recording.age is not None:
        noun = f"{recording.age:.0f}-year-old {noun}"
    health = _HEALTH.get(recording.health or "", recording.health)
    if recording.health == "H":
        noun = f"{health} {noun}"
    elif health:
        noun = f"{noun} {health}"
    return f"{_article(noun)} {noun}"


def _article(noun: str) -> str:
    return "an" if noun.startswith(("8", "11-", "18-", "a", "e", "i", "o")) else "a"
