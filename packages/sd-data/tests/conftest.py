"""Real recordings for tests, where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from sd_data.testing.real import MISSING, real_recordings


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with eegmat/, formats/ and tables/; the test is skipped where it is absent."""
    return real_recordings(Path(__file__)) or pytest.skip(MISSING)
