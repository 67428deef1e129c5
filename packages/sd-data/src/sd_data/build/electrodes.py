"""Electrodes by name: old and new names, prefixes of file formats, named sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from sd_core.plugin import SdError

if TYPE_CHECKING:
    from mne.channels import DigMontage

# fmt: off
CLASSICAL_19 = (
    "Fp1", "Fp2", "F3", "F4", "Fz", "F7", "F8", "C3", "C4", "Cz",
    "P3", "P4", "Pz", "O1", "O2", "T7", "T8", "P7", "P8",
)
# fmt: on
"""The electrodes of the 10-20 system (Jasper 1958), by their names in the 10-10 system."""
NAMED_SETS = {"1020-19": CLASSICAL_19}
"""What `--channels NAME` may name."""

_OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
_PREFIX = re.compile(r"^(eeg|pol)[\s:_-]+")
_SUFFIX = re.compile(r"[\s:_-]+(ref|le|avg|ar)$")
_SCALP = re.compile(r"(fp|af|f|ft|fc|t|c|tp|cp|p|po|o|i|n)(z|\d{1,2}h?)")
_EARS = frozenset({"a1", "a2", "m1", "m2"})


def canonical(name: str) -> str:
    """One spelling for all names of an electrode: "EEG T3-REF", "t3" and "T7" become "t7"."""
    bare = _SUFFIX.sub("", _PREFIX.sub("", name.strip().lower())).rstrip(".")
    return _OLD_NAMES.get(bare, bare)


def is_scalp(name: str) -> bool:
    """Whether a channel is one electrode on the scalp: not an ear, a bipolar derivation or an ECG."""
    bare = canonical(name)
    return bare not in _EARS and _SCALP.fullmatch(bare) is not None


def expand(channels: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """Names that the option `channels` means: a named set, a list, or the corpus's own.

    Raises:
        SdError: a name is given twice.
    """
    names = [name for entry in channels or default for name in NAMED_SETS.get(entry, (entry,))]
    twice = sorted({name for name in names if [canonical(n) for n in names].count(canonical(name)) > 1})
    if twice:
        raise SdError(f"channels names the same electrode twice: {', '.join(twice)}")
    return tuple(names)


def match(wanted: Sequence[str], present: Sequence[str], where: str) -> list[int]:
    """Places of the wanted electrodes among those present.

    Args:
        wanted: Names in the order of the windows.
        present: Channel names of a recording.
        where: The recording, for the message.

    Raises:
        SdError: some are missing; names them and those there.
    """
    places = {canonical(name): place for place, name in reversed(list(enumerate(present)))}
    missing = absent(wanted, present)
    if missing:
        raise SdError(
            f"{where} lacks the electrodes {', '.join(missing)}; it has {', '.join(present)}: "
            "choose others with --channels, or compute those on the scalp from their neighbours with --interpolate"
        )
    return [places[canonical(name)] for name in wanted]


def absent(wanted: Sequence[str], present: Sequence[str]) -> tuple[str, ...]:
    """Those of the wanted electrodes that are not there under any of their names."""
    there = {canonical(name) for name in present}
    return tuple(name for name in wanted if canonical(name) not in there)


def unused(present: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Electrodes on the scalp that are there and not wanted, as the file calls them."""
    chosen = {canonical(name) for name in wanted}
    return tuple(name for name in present if is_scalp(name) and canonical(name) not in chosen)


@cache
def standard_montage() -> DigMontage:
    """Places of the electrodes of the 10-5 system on a template head."""
    from mne.channels import get_builtin_montages, make_standard_montage

    # One montage under two names: MNE 1.13 renamed it.
    return make_standard_montage("colin27_1005" if "colin27_1005" in get_builtin_montages() else "standard_1005")
