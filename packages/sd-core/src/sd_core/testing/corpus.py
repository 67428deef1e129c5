"""What every corpus must do: subclass `CorpusContract` in a test module of your plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sd_core.errors import SdError
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet

if TYPE_CHECKING:
    from sd_core.protocols import Corpus

COLUMNS = frozenset(
    {"corpus", "subject", "session", "recording", "start_s", "state", "caption", "description", "label"}
)
"""Columns that every corpus writes; gender, health and age where they are known."""


class CorpusContract:
    """Tests of a corpus; a subclass named `Test...` says which one. Keep it small: it is built twice.

    Example:
        class TestMine(CorpusContract):
            def corpus(self):
                return MyCorpus(MyOptions(subjects=3))
    """

    splits = ("train", "validation", "test")
    """Splits that the corpus under test writes."""

    def corpus(self) -> Corpus:
        """The corpus under test."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def built(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The corpus on disk."""
        out = tmp_path_factory.mktemp("corpus") / "built"
        cls().corpus().build(out)
        return out

    def test_splits_hold_finite_microvolts(self, built: Path) -> None:
        """Every split opens; the samples are of the size of EEG, not of volts."""
        for split in self.splits:
            windows = _windows(built, split)
            signals = windows.signals(range(min(len(windows), 64)))
            assert np.isfinite(signals).all()
            assert 0.5 < float(np.median(signals.std(axis=-1))) < 500

    def test_every_window_says_whose_it_is(self, built: Path) -> None:
        """The columns that the rest of the system names are there and filled."""
        windows = _windows(built, self.splits[0])
        assert set(windows.column_names) >= COLUMNS
        assert all(value is not None for name in COLUMNS for value in windows.column(name))

    def test_splits_share_no_subject(self, built: Path) -> None:
        """A model is judged on people it has not seen."""
        people = [set(_windows(built, split).column("subject")) for split in self.splits]
        assert sum(map(len, people)) == len(set().union(*people))

    def test_building_again_gives_the_same(self, built: Path, tmp_path: Path) -> None:
        """Same options, same windows, to the bit."""
        self.corpus().build(tmp_path / "again")
        for split in self.splits:
            assert _windows(tmp_path / "again", split).fingerprint == _windows(built, split).fingerprint

    def test_an_existing_folder_is_refused_and_kept(self, tmp_path: Path) -> None:
        """A build never writes over anything."""
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes.txt").write_text("keep")
        with pytest.raises(SdError, match="exists"):
            self.corpus().build(tmp_path / "mine")
        assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


def _windows(folder: Path, split: str) -> WindowSet:
    windows = open_split(folder, split)
    assert isinstance(windows, WindowSet)
    return windows
