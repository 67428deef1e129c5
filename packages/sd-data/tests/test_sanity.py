"""Sanity by construction, on toy windows and on real EEG: who must pass passes, who must be caught is caught.

"Caught" is what the verdict goes by: further from held-out windows than training data is, by more than chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from sd_core.judging.judge import judge, subset
from sd_core.judging.surrogates import SURROGATES
from sd_core.plugin import SignalInfo, Windows
from sd_core.protocols import Metric
from sd_core.registry import discover
from sd_core.testing.metric import toy_windows
from sd_data.metrics.c2st import C2st
from sd_data.metrics.options import C2stOptions

Signal = NDArray[np.float32]

CHANGES: Mapping[str, tuple[Callable[[Signal], Signal], set[str]]] = {
    "1.2 times as loud": (lambda x: 1.2 * x, {"log_spectral_distance", "band_power", "amplitude"}),
    "played backwards": (lambda x: x[..., ::-1], {"time_direction.lead"}),
    "channels shuffled": (
        lambda x: x[:, np.random.default_rng(1).permutation(x.shape[1])],
        {"covariance", "correlation", "coherence", "topography", "time_direction.lead"},
    ),
}
"""What is done to windows of the training data, which stand at the floor as they are; the scores that must notice."""


@dataclass(frozen=True)
class People:
    """Three groups of people."""

    train: Windows
    other: Windows
    test: Windows

    def judged(self, generated: Windows, metrics: Mapping[str, Metric]) -> tuple[list[str], dict[str, Any]]:
        """The verdict and the scores that enter it."""
        found = judge(self.test, generated, self.train, metrics, seed=0)
        return found["verdict"], {key: entry for key, entry in found["scores"].items() if not entry["detail"]}


@pytest.fixture(scope="module")
def metrics() -> dict[str, Metric]:
    """All that are installed; the slowest with fewer trees."""
    registry = discover()
    names = registry.names("metrics")
    made = {name: registry.create("metrics", name, registry.options("metrics", name)()) for name in names}
    return {**made, "c2st": C2st(C2stOptions(trees=20, folds=3))}


def toy_people(people: range) -> Windows:
    """EEG-like windows, three toy persons for one: electrodes differ in amplitude and lead, two are neighbours."""
    parts = [toy_windows(3 * person + number, 6, n_samples=1024) for person in people for number in range(3)]
    signal = np.concatenate([part.signal for part in parts])
    signal[:, 1] = 0.8 * signal[:, 0] + 0.2 * signal[:, 1]
    for channel in range(signal.shape[1]):
        signal[:, channel] = np.roll(signal[:, channel], channel, axis=-1) * (0.6 + 0.2 * channel)
    subjects = [value for part in parts for value in part.columns["subject"]]
    return Windows(signal=signal, info=parts[0].info, columns={"subject": subjects})


def real_people(folder: Path, subjects: range) -> Windows:
    """Every second window of 16.4 s of both recordings of some people of eegmat, as it is in the files."""
    cut, names = [], []
    for subject in subjects:
        for file in sorted(folder.glob(f"Subject{subject:02d}_*.edf")):
            raw = mne.io.read_raw_edf(file, verbose="error")
            starts = range(0, raw.n_times - 2047, 2 * 2048)
            cut += [raw.get_data(start=start, stop=start + 2048) * 1e6 for start in starts]
            names += [file.name[:9]] * len(starts)
    channels = tuple(name.removeprefix("EEG ") for name in raw.ch_names)
    info = SignalInfo(channel_names=channels, n_samples=2048, sfreq=float(raw.info["sfreq"]))
    return Windows(signal=np.stack(cut).astype(np.float32), info=info, columns={"subject": names})


@pytest.fixture(scope="module", params=["toy", "eegmat"])
def group(request: pytest.FixtureRequest) -> Callable[[range], Windows]:
    """Gives the windows of some of twenty people."""
    if request.param == "toy":
        return toy_people
    folder = request.getfixturevalue("real_data") / "eegmat"
    return lambda subjects: real_people(folder, subjects)


@pytest.fixture(scope="module")
def people(group: Callable[[range], Windows]) -> People:
    return People(*(group(range(first, 20, 3)) for first in range(3)))


@pytest.fixture(scope="module")
def halves(group: Callable[[range], Windows]) -> People:
    """The windows of half of the people are at once what was trained on and what is changed."""
    train = group(range(0, 20, 2))
    return People(train, train, group(range(1, 20, 2)))


def caught(scores: Mapping[str, Any]) -> set[str]:
    return {key for key, entry in scores.items() if entry["standing"].get("floor", True) is False}


def test_other_people_pass(people: People, metrics: dict[str, Metric]) -> None:
    sentences, scores = people.judged(people.other, metrics)
    assert not any(sentence.startswith("Warning") for sentence in sentences)
    distances = [entry for entry in scores.values() if entry["alarm"] is None]
    assert len(caught(scores)) <= len(distances) / 3
    (beyond,) = [sentence for sentence in sentences if sentence.startswith("Closer than both surrogates on")]
    assert "kurtosis" in beyond
    assert "C2ST" in beyond


def test_copies_of_the_training_data_fail_memorisation(people: People, metrics: dict[str, Metric]) -> None:
    copies = subset(people.train, np.random.default_rng(0).permutation(len(people.train)))
    sentences, scores = people.judged(copies, metrics)
    assert sentences[0].startswith("Warning: training windows are copied")
    assert "The other scores say nothing until this is mended" in sentences[0]
    assert scores["memorisation.near_copies"]["value"] == 1.0
    assert caught(scores) == set()


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_surrogates_are_recognised(name: str, people: People, metrics: dict[str, Metric]) -> None:
    sentences, scores = people.judged(SURROGATES[name](people.train, np.arange(len(people.train)), 77), metrics)
    beyond = " ".join(sentence for sentence in sentences if sentence.startswith("Closer than both surrogates on"))
    assert "kurtosis" not in beyond
    assert "C2ST" not in beyond
    assert any(
        sentence.startswith("No better than a surrogate on") and "kurtosis" in sentence for sentence in sentences
    )
    assert {"kurtosis", "c2st"} <= caught(scores)
    assert scores["kurtosis"]["standing"][name] == "equal"


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_changed_windows_are_caught(change: str, halves: People, metrics: dict[str, Metric]) -> None:
    alter, notice = CHANGES[change]
    changed = replace(halves.train, signal=np.ascontiguousarray(alter(halves.train.signal), dtype=np.float32))
    asked = {key: metrics[key] for key in {name.partition(".")[0] for name in notice}}
    _, scores = halves.judged(changed, asked)
    assert notice <= caught(scores)
