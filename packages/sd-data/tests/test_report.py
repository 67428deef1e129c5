"""The report is one page that needs nothing else, and says what metrics.json says."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sd_core.judging.judge import judge
from sd_core.plugin import NoOptions, SdError, SignalInfo, Windows
from sd_core.registry import discover
from sd_core.testing.metric import toy_windows
from sd_data.build.electrodes import CLASSICAL_19
from sd_data.report import figures, html, spectra
from sd_data.report.blind import blind, shuffled
from sd_data.report.card import card, people
from sd_data.report.html import HtmlReport
from sd_data.report.memorised import memorised
from sd_data.report.svg import inline, style
from sd_data.report.tables import MARKS, mark, scores_table, strip
from sd_data.report.topography import decibels, places, topographies

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


def eeg(names: tuple[str, ...], count: int = 4, samples: int = 512, sfreq: float = 125.0, seed: int = 0) -> Windows:
    """White noise of electrodes with these names, 10 uV."""
    signal = 10 * np.random.default_rng(seed).standard_normal((count, len(names), samples))
    info = SignalInfo(channel_names=names, n_samples=samples, sfreq=sfreq)
    return Windows(signal=signal.astype(np.float32), info=info)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of windows of the reference geometry, 20 electrodes and 16 s: drawn once, it takes seconds."""
    folder = tmp_path_factory.mktemp("report")
    names = (*CLASSICAL_19, "A2-A1")
    windows = {
        role: eeg(names, 6, samples=2048, seed=place) for place, role in enumerate(("real", "generated", "train"))
    }
    path = HtmlReport(NoOptions())(evaluation_of(windows), windows, folder)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_a_full_disk_is_one_sentence_and_leaves_no_half_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, **_: object) -> int:
        assert path.write_bytes(text.encode()[: len(text) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    windows = windows_of(samples=1024)
    monkeypatch.setattr(html, "page", lambda *_: "<html>")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SdError, match=r"report\.html: No space left on device"):
        HtmlReport(NoOptions())({}, windows, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_drawing_that_fails_is_no_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise FileNotFoundError("a font")

    monkeypatch.setattr(html, "page", broken)
    with pytest.raises(FileNotFoundError, match="a font"):
        HtmlReport(NoOptions())({}, {}, tmp_path)


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
    sections = re.findall("<h2[^>]*>([^<]*)", page)
    assert sections == [
        *("Verdict", "Scores", "Spectra", "Band power over the head", "Covariance and correlation", "Which are real?"),
        *("Spectrograms", "Closest to the training data", "Training", "Model card"),
    ]
    assert re.findall('aria-label="Head maps, ([a-z]*)"', page) == ["delta", "theta", "alpha", "beta", "gamma"]
    assert "synthetic" in page
    assert 'aria-label="Training curve loss"' in page
    assert page.count('role="img"') >= 12
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


def test_it_stays_small(page: str) -> None:
    assert len(page.encode()) < 3_000_000


@pytest.mark.parametrize(("channels", "samples", "count"), [(1, 512, 1), (2, 24, 2)])
def test_odd_windows_without_card_or_curves_have_a_page(
    channels: int, samples: int, count: int, tmp_path: Path
) -> None:
    windows = {
        role: replace(found, signal=found.signal[:count], columns={})
        for role, found in windows_of(channels, samples).items()
    }
    result = evaluation_of(windows)
    for key in ("card", "curves", "notes", "title"):
        del result[key]
    text = HtmlReport(NoOptions())(result, windows, tmp_path).read_text(encoding="utf-8")
    titles = set(re.findall("<h2[^>]*>([^<]*)", text))
    assert ("Covariance and correlation" in titles) == (channels > 1)
    assert {"Which are real?", "Closest to the training data", "Model card"} <= titles
    assert "Training" not in titles
    assert "<h3>Model<" not in text
    assert f"<th scope=row>Windows</th><td>{count}</td>" in text
    assert "These windows are synthetic" in text


def test_a_drawing_repeats() -> None:
    def drawn() -> str:
        with style():
            return inline(figures.curves({"loss": [(0, 2.0), (1, 0.1)]})[0], "loss")

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
        ({"floor": True, "gaussian": "behind", "phase_randomised": "equal"}, "passed"),
        ({"floor": None, "gaussian": "equal", "phase_randomised": "closer"}, "unsure"),
        ({"floor": None, "gaussian": "behind", "phase_randomised": "closer"}, "behind"),
        ({"floor": None}, "unsure"),
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


def test_an_interval_stands_below_its_number() -> None:
    result = evaluation_of(windows_of())
    result["scores"]["kurtosis"] |= {"value": 0.5, "interval": [0.25, 0.75], "floor_interval": None}
    assert "<small class=interval>0.250 to 0.750</small>" in scores_table(result, detail=False)


NAMES = ("Fp1", "Fp2", "EEG T3-REF", "t7", "Cz", "Pz", "O1", "O2", "A2-A1", "ch3", "POz")


def test_electrodes_are_placed_by_name_old_or_new_each_place_once() -> None:
    assert places(NAMES) == {0: "Fp1", 1: "Fp2", 2: "T7", 4: "Cz", 5: "Pz", 6: "O1", 7: "O2", 10: "POz"}


def test_head_maps_show_every_band_and_name_who_is_left_out() -> None:
    real = eeg(NAMES, sfreq=15.0)  # two bands: maps take their time
    windows = {"real": real, "generated": replace(real, signal=2 * real.signal), "train": real}
    text = page_part(topographies(windows))
    assert re.findall('aria-label="Head maps, ([a-z]*)"', text) == ["delta", "theta"]
    assert "left out: t7, A2-A1, ch3" in text
    louder = decibels(windows["generated"])["theta"] - decibels(real)["theta"]
    assert np.allclose(louder, 20 * np.log10(2), atol=1e-3)


@pytest.mark.parametrize("names", [("ch1", "ch2", "ch3", "ch4", "ch5", "ch6"), ("Fz", "Cz", "Pz")])
def test_channels_without_places_have_a_note_for_a_map(names: tuple[str, ...]) -> None:
    text = topographies(dict.fromkeys(("real", "generated", "train"), eeg(names)))
    assert "No maps" in text
    assert "<svg" not in text
    assert topographies(dict.fromkeys(("real", "generated", "train"), eeg(("Cz",)))) == ""


def page_part(text: str) -> str:
    """A section, once it is known to be well-formed."""
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    return text


def test_spectra_show_the_spread_of_people_not_of_windows() -> None:
    windows = windows_of()
    people_at = [f"person {number % 3}" for number in range(12)]
    named = {
        role: replace(one, columns={"subject": [f"{role} {who}" for who in people_at]}) for role, one in windows.items()
    }
    spread = spectra.between(named)
    assert spread.whose == "6 people"  # held-out and training; what was generated is of nobody
    assert spread.spectra.shape[0] == 6
    assert "middle 80 % of 6 people" in spectra.spectra(named)
    few = {role: replace(one, columns={"subject": ["one"] * 12}) for role, one in windows.items()}
    assert spectra.between(few).whose == "real windows"
    assert len(spectra.between(few).spectra) == 24


def test_the_blind_layout_betrays_nothing_before_the_solution() -> None:
    windows = windows_of()
    text = page_part(blind(windows))
    shown, folded = text.split("<details")
    assert re.findall('aria-label="([^"]*)"', shown) == [f"Waveforms of window {letter}" for letter in "ABCDEFGH"]
    drawings = re.sub(r"<p class=\"note\">.*?</p>", "", shown)
    assert not re.search("generated|held-out|accent", drawings)
    assert "<script" not in text
    order = shuffled(windows)
    assert [role for role, _ in order].count("real") == 4
    for letter, (role, row) in zip("ABCDEFGH", order, strict=True):
        said = "held-out real" if role == "real" else "generated"
        assert f"<th scope=row>{letter}</th><td>{said}, window {row + 1}" in folded


def test_the_order_is_another_one_for_other_windows() -> None:
    orders = set()
    for seed in range(8):
        windows = windows_of() | {"generated": toy_windows(100 + seed, 12, 6, 512)}
        orders.add(tuple(role for role, _ in shuffled(windows)))
        assert shuffled(windows) == shuffled(windows)
    assert len(orders) > 4


def test_a_copy_stands_beside_the_window_it_was_copied_from() -> None:
    windows = windows_of()
    signal = windows["generated"].signal.copy()
    signal[7] = -np.roll(windows["train"].signal[3], 25, axis=-1)
    windows["generated"] = replace(windows["generated"], signal=signal)
    windows["train"] = replace(windows["train"], columns={"subject": [f"person {row}" for row in range(12)]})
    with style():
        text = page_part(memorised(windows))
    first, second = re.findall('aria-label="([^"]*)"', text)[:2]
    assert first == "Generated window 8, ratio 0.01"
    assert second == "Generated window 8: its nearest training window"
    assert "Training, person 3 (sign changed)" in text


def test_of_many_windows_some_are_looked_at_for_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sd_data.report.memorised.MOST_COMPARISONS", 60)
    text = memorised(windows_of())
    assert "among 5 of the generated ones" in text


def test_the_card_tells_data_labels_sampling_and_use() -> None:
    windows = windows_of()
    labels: dict[str, list[Any]] = {
        "subject": ["a"] * 6 + ["b"] * 6,
        "state": ["rest"] * 9 + ["arithmetic"] * 3,
        "age": [20.0] * 11 + [None],
    }
    windows["train"] = replace(windows["train"], columns={**labels, "label": labels["state"]})
    result = evaluation_of(windows)
    result["card"] |= {"sampler": "heun", "denoising_steps": 15, "guidance": "cfg", "cfg_scale": 1.0, "seed": 1}
    result["card"] |= {"data": {"source": "PhysioNet", "licence": "ODC-By 1.0"}, "mood": "sunny"}
    text = page_part(card(result, windows))
    headings = re.findall("<h3>([^<]*)", text)
    assert headings == ["Model", "Training data", "Sampling", "Judged against", "More"]
    assert "<th scope=row>Licence</th><td>ODC-By 1.0</td>" in text
    assert "<th scope=row>State (windows)</th><td>rest 9, arithmetic 3</td>" in text
    assert "Label (windows)" not in text  # says the same as the state
    assert "<th scope=row>Guidance</th><td>none</td>" in text  # a scale of 1
    assert "Guidance scale" not in text
    assert "synthetic" in text
    assert "sunny" in text[text.index("More") :]
    assert people(windows["train"])["ages"] == "20 to 20 years"


def test_the_card_names_data_not_places() -> None:
    result = evaluation_of(windows_of())
    for told, shown in (("/home/jane/eegmat", "eegmat"), ("data/eegmat", "data/eegmat"), ("org/eeg", "org/eeg")):
        result["card"]["trained_on"] = told
        assert f"<th scope=row>Trained on</th><td>{shown}</td>" in card(result, windows_of())


def test_the_head_counts_people() -> None:
    windows = windows_of()
    windows["real"] = replace(windows["real"], columns={"subject": ["a"] * 11 + ["b"]})
    windows["train"] = replace(windows["train"], columns={"subject": ["c"] * 12})
    text = html._lead(evaluation_of(windows), windows)
    assert text.startswith(
        "12 generated windows beside 12 held-out real ones of 2 people and 12 training ones of 1 person"
    )
    assert text.endswith("at 125 Hz, average reference.")


def test_mixed_references_are_said_aloud() -> None:
    windows = windows_of()
    assert "warning" not in html._verdict(evaluation_of(windows))
    for reference, said in (("original", True), ("unknown", False)):
        other = replace(windows["generated"], info=replace(windows["generated"].info, reference=reference))
        text = html._verdict(evaluation_of({**windows, "generated": other}))
        assert text.count("generated windows to original, held-out windows to average, training windows to av") == said
        assert text.count('<p class="warning">The sets') == said


def test_the_card_warns_of_copies_and_of_synthesised_waves() -> None:
    windows = windows_of()
    result = evaluation_of(windows)
    assert "Do not pass these windows on" not in card(result, windows)
    result["card"]["exact_representation"] = False
    result["scores"]["memorisation"]["standing"] = {"alarm": True}
    text = card(result, windows)
    assert "Do not pass these windows on" in text
    assert "phases were not generated" in text
