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
_SUFFIX = re.compile(r"[\s:_-]+(ref|le|ler|cle|linked|avg?|ar|car|\(?a1\+?a2\)?|m1\+?m2)(-\d+)?$")
"""What an electrode was measured against, where that is one thing for all; MNE numbers names that stand twice."""
_SCALP = re.compile(r"(fp|af|f|ft|fc|t|c|tp|cp|p|po|o|i|n)(z|\d{1,2}h?)")
_EARS = frozenset({"a1", "a2", "m1", "m2"})
_BANK = re.compile(r"[a-h]\d{1,2}")
_FIRST_BANKS = re.compile(r"[ab]\d{1,2}")
_NUMBERED = re.compile(r"e\d{1,3}")
_CAP = 16
"""Channels that no other way of naming has; so many of them, and it is the cap's way."""
UNNAMED = " (of the cap)"
"""Stands after an electrode of such a cap that the option `names` leaves out: no place, but part of the average."""


def canonical(name: str) -> str:
    """One spelling for all names of an electrode: "EEG T3-REF", "t3" and "T7" become "t7"."""
    bare = _SUFFIX.sub("", _PREFIX.sub("", name.strip().lower())).rstrip(".")
    return _OLD_NAMES.get(bare, bare)


def is_scalp(name: str) -> bool:
    """Whether a channel is one electrode on the scalp: not an ear, a bipolar derivation or an ECG."""
    bare = canonical(name)
    return bare not in _EARS and _SCALP.fullmatch(bare) is not None


def banked(names: Sequence[str]) -> bool:
    """Whether channels are called by banks of a BioSemi cap, A1 ... B32, where C3 is no place of the 10-20 system."""
    bare = {canonical(name) for name in names}
    return sum(_FIRST_BANKS.fullmatch(name) is not None and name not in _EARS for name in bare) >= _CAP


def of_cap(names: Sequence[str]) -> list[int]:
    """Places of the electrodes of a cap with names of its own, BioSemi's banks or EGI's E1 ... E256; else none."""
    if banked(names):
        return [place for place, name in enumerate(names) if _BANK.fullmatch(canonical(name))]
    found = [place for place, name in enumerate(names) if _NUMBERED.fullmatch(canonical(name))]
    # Caps of EGI have the vertex by its name.
    return found if len(found) >= _CAP and sum(map(is_scalp, names)) <= 1 else []


def on_scalp(names: Sequence[str]) -> list[int]:
    """Places of the channels that are electrodes on the scalp, for all that the names of one recording tell.

    Caps with names of their own are known by them, before and after some were named (`UNNAMED`).
    """
    cap = of_cap(names)
    if banked(names):
        return cap
    known = [place for place, name in enumerate(names) if is_scalp(name) or name.endswith(UNNAMED)]
    return sorted({*cap, *known})


def refuse_banks(wanted: Sequence[str], present: Sequence[str], where: str) -> None:
    """Check that names of the 10-20 system are not looked for among those of banks.

    Raises:
        SdError: they would be.
    """
    if not banked(present):
        return
    foreign = [name for name in wanted if is_scalp(name) and not _BANK.fullmatch(canonical(name))]
    if foreign or all(is_scalp(name) for name in wanted):
        raise SdError(
            f"{where} calls its channels by BioSemi's banks ({present[0]}, {present[1]}, ...), where "
            f"{(foreign or list(wanted))[0]} does not mean the place of the 10-20 system: say which is which, as in "
            f"--set 'names={{{present[0]}=\"Cz\"}}', or choose by bank with --channels"
        )


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
        SdError: some are missing, or there twice; names them and those there.
    """
    for name in wanted:
        same = [other for other in present if canonical(other) == canonical(name)]
        if len(same) > 1:
            raise SdError(
                f"{where} has the electrode {name} {len(same)} times, as {' and '.join(same)}: say that one is none, "
                f'as in --set \'names={{"{same[-1]}"="unused"}}\''
            )
    places = {canonical(name): place for place, name in reversed(list(enumerate(present)))}
    missing = absent(wanted, present)
    if missing:
        raise SdError(
            f"{where} lacks the electrodes {', '.join(missing)}; it has {', '.join(present)}: "
            "choose others with --channels, compute those on the scalp from their neighbours with --interpolate, or "
            f'say which is which, as in --set \'names={{"{present[0] if present else "X1"}"="{missing[0]}"}}\''
        )
    return [places[canonical(name)] for name in wanted]


def absent(wanted: Sequence[str], present: Sequence[str]) -> tuple[str, ...]:
    """Those of the wanted electrodes that are not there under any of their names."""
    there = {canonical(name) for name in present}
    return tuple(name for name in wanted if canonical(name) not in there)


def unused(present: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Electrodes on the scalp that are there and not wanted, as the file calls them."""
    chosen = {canonical(name) for name in wanted}
    return tuple(present[place] for place in on_scalp(present) if canonical(present[place]) not in chosen)


@cache
def standard_montage() -> DigMontage:
    """Places of the electrodes of the 10-5 system on a template head."""
    from mne.channels import get_builtin_montages, make_standard_montage

    # One montage under two names: MNE 1.13 renamed it.
    return make_standard_montage("colin27_1005" if "colin27_1005" in get_builtin_montages() else "standard_1005")
