"""The picture of a sweep."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from sd_core.plugin import NoOptions
from sd_data.report.sweep import MOST, SweepPlot, draw


def sweep(count: int) -> dict[str, Any]:
    scores = {
        "lsd": {"title": "LSD", "unit": "dB", "ideal": 0.0, "alarm": None},
        "copies": {"title": "Copies", "unit": "", "ideal": 1.0, "alarm": 0.7},
    }
    settings: list[dict[str, Any]] = [
        {
            "title": f"checkpoint-4, {('heun', 'dpm++')[i % 2]} {i}",
            "inference": {"sampler": ("heun", "dpm++")[i % 2]},
            "values": {"lsd": 1.0 + i, "copies": 0.9},
            "excess": 1.0 + i,
            "ratios": {"lsd": 1.5 + i},
            "alarms": ["copies"] if i == 1 else [],
        }
        for i in range(count)
    ]
    settings.append({**settings[0], "title": "broken", "values": None, "excess": None, "ratios": {}})
    return {"settings": settings, "scores": scores, "floor": {"lsd": 0.5, "copies": 1.0}}


def test_every_setting_that_could_be_scored_is_named(tmp_path: Path) -> None:
    path = SweepPlot(NoOptions())(sweep(4), {}, tmp_path)
    assert path == tmp_path / "sweep.svg"
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.svg"]
    text = path.read_text()
    ElementTree.fromstring(text)
    for title in ("checkpoint-4, heun 0", "checkpoint-4, dpm++ 1 (alarm)", "checkpoint-4, dpm++ 3"):
        assert f">{title}<" in text
    assert "broken" not in text
    assert path.read_bytes() == SweepPlot(NoOptions())(sweep(4), {}, tmp_path).read_bytes()


def test_a_full_disk_is_left_to_who_sweeps(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SweepPlot(NoOptions())(sweep(1), {}, tmp_path / "nowhere")


def test_the_best_stands_on_top_and_dots_are_where_the_numbers_are() -> None:
    axes = draw(sweep(3)).axes[0]
    assert axes.yaxis_inverted()
    drawn = [line for line in axes.lines if line.get_label() in ("heun", "dpm++")]
    dots = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in drawn}
    assert dots == {"heun": [[1.0, 0.0], [3.0, 2.0]], "dpm++": [[2.0, 1.0]]}
    ticks = [np.asarray(line.get_xydata()).tolist() for line in axes.lines if line.get_marker() == "|"]
    assert ticks == [[[1.5, 0.0]], [[2.5, 1.0]], [[3.5, 2.0]]]  # as they were ranked, not computed anew


def test_a_large_sweep_stays_readable() -> None:
    assert len(draw(sweep(MOST + 30)).axes[0].get_yticks()) == MOST


@pytest.mark.parametrize(("worst", "least"), [(1.0, 1), (1.3, 3), (2.9, 3), (12.0, 4), (90.0, 5), (4000.0, 4)])
def test_the_axis_has_numbers_that_do_not_overlap(worst: float, least: int) -> None:
    content = sweep(2)
    content["settings"][0]["ratios"]["lsd"] = content["settings"][0]["excess"] = worst
    content["settings"][1]["ratios"]["lsd"] = content["settings"][1]["excess"] = 1.0
    drawn = draw(content)
    drawn.draw_without_rendering()
    axes = drawn.axes[0]
    low, high = axes.get_xlim()
    boxes = [
        label.get_window_extent()
        for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if low <= place <= high
    ]
    assert len(boxes) >= least
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_every_mean_is_a_number_beside_its_row() -> None:
    axes = draw(sweep(3)).axes[0]
    assert {text.get_text(): text.get_position()[1] for text in axes.texts} == {"1.00": 0, "2.00": 1, "3.00": 2}
