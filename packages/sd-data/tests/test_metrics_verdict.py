"""The whole judgement by construction: other people pass, surrogates are recognised, copies are exposed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sd_core.judging.judge import judge, subset
from sd_core.judging.surrogates import SURROGATES
from sd_core.plugin import Windows
from sd_core.protocols import Metric
from sd_core.registry import discover
from sd_core.testing.metric import toy_windows
from sd_data.metrics.c2st import C2st
from sd_data.metrics.options import C2stOptions


def people(seeds: range, count: int = 6) -> Windows:
    """Windows of several people, with bursts of alpha that no Gaussian has."""
    parts = [toy_windows(seed, count, n_samples=1024) for seed in seeds]
    subjects = [value for part in parts for value in part.columns["subject"]]
    return Windows(
        signal=np.concatenate([part.signal for part in parts]), info=parts[0].info, columns={"subject": subjects}
    )


@pytest.fixture(scope="module")
def metrics() -> dict[str, Metric]:
    registry = discover()
    names = registry.names("metrics")
    return {name: registry.create("metrics", name, registry.options("metrics", name)()) for name in names}


TRAIN, TEST = people(range(100, 112)), people(range(200, 212))


def verdict(generated: Windows, metrics: dict[str, Metric]) -> tuple[list[str], dict[str, Any]]:
    result = judge(TEST, generated, TRAIN, metrics, seed=0)
    return result["verdict"], result["scores"]


def test_other_people_pass(metrics: dict[str, Metric]) -> None:
    sentences, scores = verdict(people(range(300, 312)), metrics)
    main = [entry for entry in scores.values() if not entry["detail"] and entry["alarm"] is None]
    assert sum(entry["standing"]["floor"] is not False for entry in main) >= len(main) - 2
    assert sum(entry["standing"]["floor"] is True for entry in main) > len(main) / 2
    (beyond,) = [sentence for sentence in sentences if sentence.startswith("Closer than both surrogates on")]
    assert "kurtosis" in beyond
    assert any(sentence.startswith("No sign that training windows are copied") for sentence in sentences)


def individuals(seeds: range) -> Windows:
    """People whom anybody would know again: every electrode has an amplitude of its own."""
    parts = [toy_windows(seed, 6) for seed in seeds]
    gains = [np.exp(0.5 * np.random.default_rng(seed).standard_normal((1, 6, 1))) for seed in seeds]
    signal = np.concatenate([gain * part.signal for gain, part in zip(gains, parts, strict=True)]).astype(np.float32)
    subjects = [value for part in parts for value in part.columns["subject"]]
    return Windows(signal=signal, info=parts[0].info, columns={"subject": subjects})


def test_other_people_reach_the_floor_of_the_c2st_told_or_not() -> None:
    """A classifier that is not told whose windows are learns people; then it must do so at the floor too."""
    train, test, others = (individuals(range(first, first + 10)) for first in (100, 200, 300))
    found = {}
    for told in (True, False):
        generated = others if told else replace(others, columns={})
        metric = C2st(C2stOptions(trees=15, folds=3))
        entry = found[told] = judge(test, generated, train, {"c2st": metric}, seed=0)["scores"]["c2st"]
        assert entry["standing"]["floor"]
        assert entry["value"] < entry["floor"] + 0.1
    assert found[False]["value"] > found[True]["value"] + 0.1
    assert found[False]["floor"] > found[True]["floor"] + 0.1


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_surrogates_are_recognised(name: str, metrics: dict[str, Metric]) -> None:
    sentences, scores = verdict(SURROGATES[name](TRAIN, np.arange(len(TRAIN)), 77), metrics)
    assert any(sentence.startswith("No score beats both surrogates") for sentence in sentences)
    assert not scores["kurtosis"]["standing"]["floor"]
    assert scores["kurtosis"]["standing"][name] == "equal"


def test_copies_of_the_training_data_are_exposed(metrics: dict[str, Metric]) -> None:
    """They win everything else."""
    copies = subset(TRAIN, np.random.default_rng(0).permutation(len(TRAIN)))
    sentences, scores = verdict(copies, metrics)
    assert sentences[0].startswith("Warning: training windows are copied")
    assert all(e["standing"]["floor"] for e in scores.values() if not e["detail"] and e["alarm"] is None)


def test_noise_is_told_from_eeg(metrics: dict[str, Metric]) -> None:
    noise = np.random.default_rng(0).standard_normal(TEST.signal.shape) * TRAIN.signal.std()
    sentences, _ = verdict(Windows(signal=noise.astype(np.float32), info=TEST.info), metrics)
    (behind,) = [sentence for sentence in sentences if sentence.startswith("A Gaussian surrogate is still closer on")]
    assert "log-spectral distance" in behind
    assert "correlation error" in behind


def test_all_metrics_of_the_package_are_offered(metrics: dict[str, Metric]) -> None:
    expected = {"log_spectral_distance", "band_power", "covariance", "correlation", "kurtosis", "mmd", "memorisation"}
    assert expected <= set(metrics)
