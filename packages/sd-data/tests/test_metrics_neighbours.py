"""A copy is brought back onto what it was copied from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sd_core.testing.metric import toy_windows
from sd_data.metrics.memorisation import Memorisation
from sd_data.metrics.neighbours import Alignment
from sd_data.metrics.options import MemorisationOptions

REAL, TRAIN, GENERATED = (toy_windows(seed, 8, 4, 1024) for seed in range(3))


@pytest.mark.parametrize("moved", [-0.03, 0.0, 0.06])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_changed_copy_is_found_and_aligned(moved: float, flipped: bool, reverse: bool) -> None:
    change = Alignment(shift=moved, reversed=reverse, flipped=flipped)
    signal = GENERATED.signal.copy()
    signal[5] = 2 * change.applied(TRAIN.signal[2])
    found = Memorisation(MemorisationOptions()).closest(REAL, replace(GENERATED, signal=signal), TRAIN, 3)
    assert [(found[0].generated, found[0].train), len(found)] == [(5, 2), 3]
    assert found[0].ratio < 0.1
    assert (found[0].alignment.reversed, found[0].alignment.flipped) == (reverse, flipped)
    assert found[0].alignment.shift == pytest.approx(moved, abs=2 / 1024)
    back = found[0].alignment.applied(TRAIN.signal[2])
    assert np.corrcoef(back.ravel(), signal[5].ravel())[0, 1] > 0.98
    assert found[1].ratio > 0.8


def test_what_was_done_is_said() -> None:
    assert Alignment(0.1, reversed=False, flipped=False).words == ""
    assert Alignment(0.0, reversed=True, flipped=True).words == "reversed, sign changed"


def test_there_are_no_more_neighbours_than_windows() -> None:
    assert len(Memorisation(MemorisationOptions()).closest(REAL, GENERATED, TRAIN, 20)) == 8
