"""The numbers of the report are in the unit of the data, or in none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sd_core.plugin import Windows
from sd_core.testing.metric import toy_windows
from sd_data.report import figures, matrices, spectra


def windows_in(unit: str) -> Windows:
    windows = toy_windows(1, 4, 2, 512)
    return replace(windows, info=replace(windows.info, unit=unit))


@pytest.mark.parametrize(("unit", "said"), [("uV", "traces 40 µV apart"), ("", "traces 40 apart")])
def test_waveforms_say_their_scale(unit: str, said: str) -> None:
    windows = windows_in(unit)
    (axes,) = figures.waveforms(windows, 0, "A", "black", 40.0).axes
    assert axes.get_xlabel() == f"seconds; {said}"


@pytest.mark.parametrize(
    ("unit", "power", "variance"), [("uV", "dB (1 µV²/Hz)", "µV²"), ("nT", "dB (1 nT²/Hz)", "nT²"), ("", "dB", "")]
)
def test_axes_say_the_unit_of_the_data(unit: str, power: str, variance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = dict.fromkeys(("real", "generated", "train"), windows_in(unit))
    drawn: list[Any] = []

    def kept(figures: Any, *_: str) -> str:
        drawn.extend(figures)
        return ""

    for module in (spectra, matrices):
        monkeypatch.setattr(module, "grid", kept)
    spectra.spectra(windows)
    matrices.matrices(windows)
    (first, *_), (covariance, *_) = drawn[0], drawn[-6]
    assert first.axes[0].get_ylabel() == power
    assert covariance.axes[1].get_xlabel().strip() == variance
