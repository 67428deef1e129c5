"""The report is one page that needs nothing else, and says what metrics.json says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sd_core.judging.judge import judge
from sd_core.plugin import NoOptions, SignalInfo, Windows
from sd_core.registry import discover
from sd_core.testing.metric import toy_windows
from sd_data.report import figures
from sd_data.report.html import HtmlReport
from sd_data.report.svg import inline, style
from sd_data.report.tables import MARKS, mark, scores_table, strip

VOID = {"meta", "br", "img", "link", "input"}


def windows_of(channels: int = 6, samples: int = 512) -> dict[str, Windows]:
    seeds = {"real": 1, "generated": 2, "train": 3}
    return {role: toy_windows(seed, 12, channels, samples) for role, seed in seeds.items()}


def evaluation_of(windows: Mapping[str, Windows]) -> dict[str, Any]:
    registry = discover()
    names = ("log_spectral_distance", "kurtosis", "correlation", "memorisation")
    metrics = {name: registry.create("metrics", name, registry.options("metrics", name)()) for name in names}
    result = judge(windows["real"], windows["generated"], windows["train"], metrics, seed=0)
    result["card"] = {"synthetic": True, "model": "<dit>", "ema": None, "subjects": {"train": 2, "test": 1}}
    result["curves"] = {"loss": [(0, 2.0), (1, 0.1), (2, 0.05)], "once": [(0, 1.0)]}
    return result | {"title": "runs/<demo>", "notes": ["mmd is left out: it needs <b>"]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    windows = windows_of()
    path = HtmlReport(NoOptions())(evaluation_of(windows), windows, folder)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


class Balance(HTMLParser):
    """Raises on a tag that is closed in the wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed(page: str) -> None:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []


def test_it_needs_no_other_file(page: str) -> None:
    assert not re.search(r"<(script|link|iframe)\b", page)
    references = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert all(reference.startswith(("#", "data:")) for reference in references)
    assert "@import" not in page


def test_the_verdict_stands_before_any_number(page: str) -> None:
    assert page.index("Verdict</h2>") < page.index("<table")
    assert "surrogate" in page[: page.index("<table")]


def test_all_parts_are_there(page: str) -> None:
    for title in ("Scores", "Spectra", "Waveforms", "Spectrograms", "Correlation", "Training", "Model card"):
        assert f"<h2>{title}" in page
    assert page.count('role="img"') >= 12
    assert "synthetic" in page
    assert 'aria-label="Training curve loss"' in page
    assert "Training curve once" not in page


def test_what_is_written_is_escaped(page: str) -> None:
    assert "<title>runs/&lt;demo&gt;</title>" in page
    assert "&lt;dit&gt;" in page
    assert "mmd is left out: it needs &lt;b&gt;" in page


def test_the_drawings_take_their_ink_from_the_page(page: str) -> None:
    assert "#010203" not in page
    assert "#040506" not in page
    assert "currentColor" in page
    assert "var(--accent)" in page


def test_real_geometry_stays_small(tmp_path: Path) -> None:
    """20 electrodes, 16 s: under 3 MB."""
    rng = np.random.default_rng(0)
    info = SignalInfo(channel_names=tuple(f"E{i}" for i in range(20)), n_samples=2048, sfreq=125.0)
    windows = {
        role: Windows(signal=(10 * rng.standard_normal((6, 20, 2048))).astype(np.float32), info=info)
        for role in ("real", "generated", "train")
    }
    path = HtmlReport(NoOptions())(evaluation_of(windows), windows, tmp_path)
    assert path.stat().st_size < 3_000_000


@pytest.mark.parametrize(("channels", "samples", "count"), [(1, 512, 1), (2, 24, 12)])
def test_odd_windows_have_a_page(channels: int, samples: int, count: int, tmp_path: Path) -> None:
    windows = {
        role: replace(found, signal=found.signal[:count], columns={})
        for role, found in windows_of(channels, samples).items()
    }
    text = HtmlReport(NoOptions())(evaluation_of(windows), windows, tmp_path).read_text(encoding="utf-8")
    assert ("Correlation between" in text) == (channels > 1)


def test_a_drawing_repeats() -> None:
    def drawn() -> str:
        with style():
            return inline(figures.spectra(windows_of())[0], "Spectra")

    assert drawn() == drawn()


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        ({"alarm": True}, "alarm"),
        ({"alarm": False}, "clear"),
        ({"floor": True, "gaussian": "closer", "phase_randomised": "equal"}, "floor"),
        ({"floor": False, "gaussian": "closer", "phase_randomised": "closer"}, "beyond"),
        ({"floor": False, "gaussian": "closer", "phase_randomised": "behind"}, "behind"),
        ({"floor": False, "gaussian": "equal", "phase_randomised": "closer"}, "equal"),
        ({}, ""),
    ],
)
def test_every_standing_has_a_mark_in_words(standing: dict[str, Any], expected: str) -> None:
    assert mark({"standing": standing}) == expected
    assert expected in MARKS


def test_a_score_without_a_value_says_why() -> None:
    windows = windows_of()
    result = evaluation_of(windows)
    result["scores"]["correlation"] |= {"value": None, "note": "n/a: for a reason", "standing": {}}
    assert "n/a: for a reason" in scores_table(result, detail=False)


def test_the_strip_puts_the_ideal_at_the_left() -> None:
    drawn = strip(1.5, {"floor": 1.0, "gaussian": 3.0}, ideal=1.0)
    assert 'cx="25.0"' in drawn  # a quarter of the way to the worst
    assert "translate(0.0,9)" in drawn
    assert "translate(100.0,9)" in drawn
