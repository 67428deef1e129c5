"""Where real recordings for tests are, if they are anywhere."""

from __future__ import annotations

import os
from pathlib import Path

MISSING = "no real recordings: put them in ../shared/data beside the repository, or name SIGNAL_DIFFUSION_DATA"


def real_recordings(beside: Path) -> Path | None:
    """The folder with eegmat/, formats/ and tables/; None where it is absent.

    Args:
        beside: A file of the repository; shared/data is looked for beside every folder above it, after
            the folder that the variable SIGNAL_DIFFUSION_DATA names.
    """
    named = os.environ.get("SIGNAL_DIFFUSION_DATA")
    above = [parent / "shared" / "data" for parent in beside.resolve().parents]
    for folder in [Path(named), *above] if named else above:
        if (folder / "eegmat").is_dir():
            return folder
    return None
