"""PRDC, Fréchet, KID and C2ST: known values for one distribution, two, and a collapsed one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sd_core.judging.judge import judge
from sd_core.judging.surrogates import SURROGATES
from sd_core.plugin import Windows
from sd_core.testing.metric import toy_windows
from sd_data.metrics.c2st import C2st, area, guesses
from sd_data.metrics.frechet import frechet, frechet_distance, kid
from sd_data.metrics.options import C2stOptions, FrechetOptions, PrdcOptions
from sd_data.metrics.prdc import neighbourhoods, prdc

RNG = np.random.default_rng(0)
ONE, OTHER = RNG.standard_normal((2, 400, 4))


def test_prdc_of_one_distribution() -> None:
    found = neighbourhoods(ONE, OTHER, 5)
    assert min(found["precision"], found["recall"], found["coverage"]) > 0.85
    assert found["density"] == pytest.approx(1, abs=0.1)


def test_prdc_of_strangers() -> None:
    assert set(neighbourhoods(ONE, OTHER + 100, 5).values()) == {0.0}


def test_prdc_of_windows_that_are_all_alike() -> None:
    """Precise, dense, and of no use: they reach nobody."""
    found = neighbourhoods(ONE, 0.01 * OTHER, 5)
    assert found["precision"] > 0.95
    assert found["density"] > 1
    assert found["recall"] < 0.02
    assert found["prdc"] < 0.05


def test_prdc_of_half_the_modes() -> None:
    two = np.concatenate([ONE[:200], OTHER[:200] + 50])
    found = neighbourhoods(two, OTHER[200:], 5)
    assert found["precision"] > 0.85
    assert found["recall"] == pytest.approx(0.45, abs=0.07)
    assert found["coverage"] == pytest.approx(0.48, abs=0.05)


def test_prdc_counts_as_its_definition_says() -> None:
    """On a line: balls of the nearest neighbour around 0, 1, 5 have the radii 1, 1, 4."""
    real, generated = np.array([[0.0], [1.0], [5.0]]), np.array([[0.5], [3.0]])
    found = neighbourhoods(real, generated, 1)
    assert found["precision"] == 1
    assert found["density"] == pytest.approx((2 + 1) / 2)  # .5 lies in two balls, 3 in that of 5
    assert found["coverage"] == 1
    assert found["recall"] == 1


def test_prdc_options_change_it() -> None:
    given = toy_windows(1), toy_windows(2), toy_windows(3)
    plain = prdc(PrdcOptions())(*given)
    assert prdc(PrdcOptions(neighbours=1))(*given) != plain
    assert prdc(PrdcOptions(components=2))(*given) != plain


def test_frechet_distance_of_gaussians() -> None:
    """A shift by d costs |d|^2, a gain of 2 the trace of the covariance."""
    assert frechet_distance(ONE, ONE) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(ONE, ONE + 3) == pytest.approx(4 * 9)
    assert frechet_distance(ONE, 2 * ONE - ONE.mean(0)) == pytest.approx(np.trace(np.cov(ONE.T)))
    assert frechet_distance(ONE[:, :1], ONE[:, :1] + 2) == pytest.approx(4)


def test_kid_is_zero_in_the_mean_for_one_distribution() -> None:
    rng = np.random.default_rng(0)
    values = [kid(*rng.standard_normal((2, 60, 4))) for _ in range(100)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10
    assert kid(ONE, OTHER + 1) > 1


def test_frechet_with_fewer_components_is_another_number() -> None:
    given = toy_windows(1), toy_windows(2), toy_windows(3)
    assert frechet(FrechetOptions(components=2))(*given) != frechet(FrechetOptions())(*given)


def people(seeds: Sequence[int], count: int = 6, gain: float = 1.0) -> Windows:
    parts = [toy_windows(seed, count, gain=gain) for seed in seeds]
    columns = {"subject": [value for part in parts for value in part.columns["subject"]]}
    return Windows(signal=np.concatenate([part.signal for part in parts]), info=parts[0].info, columns=columns)


def c2st(real: Windows, generated: Windows, **options: int) -> dict[str, float]:
    return C2st(C2stOptions(**options))(real, generated, real)


def test_people_are_not_told_from_people() -> None:
    values = c2st(people(range(8)), people(range(20, 28)))
    assert max(values.values()) < 0.65


def test_a_gain_is_told() -> None:
    values = c2st(people(range(8)), people(range(20, 28), gain=2.0))
    assert min(values.values()) > 0.9


def test_folds_keep_people_together() -> None:
    """Else two windows of one person betray each other: every person has an own feature here."""
    persons = np.repeat(np.arange(20), 10)
    x = RNG.standard_normal((20, 20))[persons] + 0.1 * RNG.standard_normal((200, 20))
    kind = (persons >= 10).astype(np.int64)
    model = LogisticRegression(max_iter=500)
    assert area(guesses(model, x, kind, persons, 5), kind, np.ones(200, dtype=bool)) < 0.75
    assert area(guesses(model, x, kind, np.arange(200), 5), kind, np.ones(200, dtype=bool)) > 0.95


def test_an_area_below_chance_is_chance() -> None:
    kind = np.tile([0, 1], 20)
    contrary = np.repeat(np.arange(20), 2)
    x = (kind * np.where(contrary % 2, 1.0, -1.0))[:, None]
    assert area(guesses(LogisticRegression(), x, kind, contrary, 2), kind, np.ones(len(x), dtype=bool)) >= 0.5


def test_a_few_people_do_not_hide_gaussian_noise() -> None:
    """Among three people some feature tells all windows apart by chance; the others must be looked at too."""
    real = people(range(3), count=12)
    noise = SURROGATES["gaussian"](people(range(20, 28)), np.arange(48), 0)
    assert c2st(real, noise)["c2st"] > 0.95


def test_options_of_the_trees_change_the_area() -> None:
    sides = people(range(8)), people(range(20, 28), gain=1.2)
    assert c2st(*sides, trees=60)["c2st"] != c2st(*sides, trees=1)["c2st"]
    assert c2st(*sides, folds=2)["linear"] != c2st(*sides, folds=5)["linear"]


def test_too_few_windows_for_a_tree_are_no_proof_of_a_likeness() -> None:
    """With less than two leaves to learn from, a tree says the same of everything: an area of .5 for any generator."""
    real, noise = people(range(4), count=1), people(range(20, 24), count=1, gain=9.0)
    assert c2st(real, noise).keys() == {"linear"}
    found = judge(real, noise, people(range(40, 48), count=1), {"c2st": C2st(C2stOptions())}, seed=0)
    entry = found["scores"]["c2st"]
    assert (entry["value"], entry["floor"], entry["standing"]) == (None, None, {})
    assert entry["note"] == "n/a: the trees need 10 windows to learn from"
    assert any("boosted C2ST (the trees need 10 windows" in sentence for sentence in found["verdict"])
    assert c2st(people(range(8), count=1), people(range(20, 28), count=1)).keys() == {"c2st", "linear"}
