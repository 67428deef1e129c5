"""The report: one page that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from sd_core.plugin import NoOptions, Windows, disk_errors, whole_file
from sd_data.metrics.bands import posterior
from sd_data.report import figures
from sd_data.report.blind import blind
from sd_data.report.card import card
from sd_data.report.layout import grid, section
from sd_data.report.matrices import matrices
from sd_data.report.memorised import memorised
from sd_data.report.spectra import spectra
from sd_data.report.svg import style
from sd_data.report.tables import scores_table
from sd_data.report.topography import topographies

NAME = "report.html"

HOW_TO_READ = """Smaller is better unless an ideal is given. <b>Floor</b>: the same score between real
training windows and the held-out ones, at the same number of windows; nobody can be expected to do better.
<b>Phase-randomised</b>: real training windows that keep their spectra and what electrodes share, and lose all else.
<b>Gaussian</b>: noise with the group's spectrum and covariance. A model that does not beat them has learned
second-order statistics only. Small, below a number: its 95 % interval, had other people been held out and other
windows drawn. In the strips the ideal is at the left; dot = generated, bar = floor, diamond = phase-randomised,
triangle = Gaussian."""


class HtmlReport:
    """Writes `report.html`: verdict, scores, spectra, head maps, covariance, blind waveforms, copies, curves, card."""

    def __init__(self, options: NoOptions) -> None:
        del options

    def __call__(self, evaluation: Mapping[str, Any], windows: Mapping[str, Windows], out: Path) -> Path:
        """Write into folder `out`; the page appears whole or not at all.

        Args:
            evaluation: The content of metrics.json; `card` and `curves` are shown where present.
            windows: "real", "generated" and "train".
            out: An existing folder.

        Returns:
            The page's path.
        """
        path, text = out / NAME, page(evaluation, windows)
        with disk_errors(path), whole_file(path) as scratch:
            scratch.write_text(text, encoding="utf-8")
        return path


def page(evaluation: Mapping[str, Any], windows: Mapping[str, Windows]) -> str:
    """The whole page as HTML."""
    source = files("sd_data.report")
    with style():
        sections = [
            _scores(evaluation),
            spectra(windows),
            topographies(windows),
            matrices(windows),
            blind(windows),
            _spectrograms(windows),
            memorised(windows),
            _curves(evaluation.get("curves", {})),
            card(evaluation, windows),
        ]
    return Template((source / "page.html").read_text("utf-8")).substitute(
        title=escape(str(evaluation.get("title", "Generated EEG"))),
        css=(source / "page.css").read_text("utf-8"),
        lead=_lead(evaluation, windows),
        verdict=_verdict(evaluation),
        sections="\n".join(section for section in sections if section),
    )


def _lead(evaluation: Mapping[str, Any], windows: Mapping[str, Windows]) -> str:
    counts, info = evaluation["counts"], windows["real"].info
    whose = {role: _whose(windows[role]) for role in ("real", "train")}
    reference = "" if info.reference == "unknown" else f", {info.reference} reference"
    return escape(
        f"{counts['compared']} generated windows beside {counts['real']} held-out real ones{whose['real']} and "
        f"{counts['train']} training ones{whose['train']}; {info.n_channels} channels, "
        f"{info.n_samples / info.sfreq:.3g} s at {info.sfreq:g} Hz{reference}."
    )


def _whose(windows: Windows) -> str:
    count = len(windows.people)
    return f" of {count} {'person' if count == 1 else 'people'}" if count else ""


def _verdict(evaluation: Mapping[str, Any]) -> str:
    """The sentences, what may have decided them, then what was left out or thinned."""
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in evaluation["verdict"])
    told = "".join(
        f'<p class="{kind}">{escape(sentence)}</p>'
        for kind in ("warning", "note")
        for sentence in evaluation.get(f"{kind}s", ())
    )
    return f"<ul>{sentences}</ul>{told}"


def _scores(evaluation: Mapping[str, Any]) -> str:
    details = scores_table(evaluation, detail=True)
    more = f"<details><summary>Bands and further scores</summary>{details}</details>" if details else ""
    return section("Scores", HOW_TO_READ, scores_table(evaluation, detail=False) + more)


def _spectrograms(windows: Mapping[str, Windows]) -> str:
    real, generated = windows["real"], windows["generated"]
    rows, drawn_rows = figures.spread(len(real), 3), figures.spread(len(generated), 3)
    limits = figures.decibel_limits(real, rows)
    drawn = [
        (figures.spectrograms(real, rows, "Held-out real", limits), "Spectrograms, held-out real"),
        (figures.spectrograms(generated, drawn_rows, "Generated", limits), "Spectrograms, generated"),
    ]
    channel = real.info.channel_names[posterior(real.info.channel_names)[0]]
    return section("Spectrograms", f"Electrode {escape(channel)}, one colour scale for all.", grid(drawn))


def _curves(series: Mapping[str, Sequence[Sequence[float]]]) -> str:
    known = {name: points for name, points in series.items() if len(points) > 1}
    if not known:
        return ""
    drawn = list(zip(figures.curves(known), (f"Training curve {name}" for name in known), strict=True))
    return section("Training", "As logged during the run.", grid(drawn))
