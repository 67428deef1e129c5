"""Real recordings for tests, where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _candidates() -> list[Path]:
    """The folder named by SIGNAL_DIFFUSION_DATA, then shared/data beside every folder above this one."""
    named = os.environ.get("SIGNAL_DIFFUSION_DATA")
    beside = [parent / "shared" / "data" for parent in Path(__file__).resolve().parents]
    return [Path(named), *beside] if named else beside


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with eegmat/, formats/ and tables/; the test is skipped where it is absent."""
    for folder in _candidates():
        if (folder / "eegmat").is_dir():
            return folder
    pytest.skip("no real recordings: put them in ../shared/data beside the repository, or name SIGNAL_DIFFUSION_DATA")
