"""What the verdict says, by construction."""

from __future__ import annotations

from typing import Any

from sd_core.judging.verdict import standing, verdict


def entry(value: float | None, floor: float = 1.0, phase: float = 1.0, gaussian: float = 2.0, **facts: Any) -> Any:
    made = {
        "title": "Kurtosis",
        "unit": "",
        "ideal": 0.0,
        "value": value,
        "floor": floor,
        "surrogates": {"phase_randomised": phase, "gaussian": gaussian},
        "detail": False,
        "margins": {},
        "slack": 0.0,
        "alarm": None,
        "alarm_means": "",
        "note": "",
        **facts,
    }
    return made | {"standing": standing(made)}


def guard(value: float, **facts: Any) -> Any:
    return entry(value, ideal=1.0, alarm=0.7, alarm_means="windows are copied", title="Distance", **facts)


def test_the_floor_is_reached_within_the_tolerance() -> None:
    assert entry(1.14)["standing"]["floor"]
    assert not entry(1.16)["standing"]["floor"]


def test_surrogates_are_closer_equal_or_behind() -> None:
    found = entry(2.0, floor=1.0, phase=1.0, gaussian=2.1)["standing"]
    assert found == {"floor": False, "phase_randomised": "behind", "gaussian": "equal"}
    assert entry(0.5)["standing"]["gaussian"] == "closer"


def test_the_distance_is_to_the_ideal_on_either_side() -> None:
    above = entry(1.4, floor=1.2, phase=2.0, gaussian=0.1, ideal=1.0)["standing"]
    assert above == {"floor": False, "phase_randomised": "closer", "gaussian": "closer"}


def test_at_the_floor_chance_does_not_make_a_surrogate_better() -> None:
    assert entry(1.12, floor=1.0, phase=0.95)["standing"]["phase_randomised"] == "equal"
    assert entry(1.12, floor=1.0, gaussian=0.45)["standing"]["gaussian"] == "behind"


def test_a_guard_rings_on_one_side_only() -> None:
    assert guard(0.6)["standing"] == {"alarm": True}
    assert guard(1.9)["standing"] == {"alarm": False}
    share = entry(0.03, ideal=0.0, alarm=0.02, alarm_means="x")
    assert share["standing"] == {"alarm": True}


def test_an_alarm_comes_first_and_takes_the_rest_back() -> None:
    sentences = verdict({"a": entry(0.5), "m": guard(0.1)})
    assert sentences[0].startswith("Warning: windows are copied (distance 0.10, limit 0.70).")
    assert "say nothing" in sentences[0]
    assert not any(sentence.startswith("No sign") for sentence in sentences)


def test_without_an_alarm_the_guards_are_quoted() -> None:
    assert "No sign that windows are copied: distance 0.98." in verdict({"m": guard(0.98)})


def test_a_surrogate_that_is_closer_is_named() -> None:
    scores = {
        "s": entry(1.9, title="Log-spectral distance", gaussian=1.0),
        "c": entry(3.0, title="Covariance", gaussian=2.0),
        "k": entry(0.2, title="Kurtosis"),
    }
    sentences = verdict(scores)
    assert "A Gaussian surrogate is still closer on log-spectral distance and covariance." in sentences
    assert "Closer than both surrogates on kurtosis." in sentences
    assert sentences[0] == (
        "On 1 of 3 scores as close to held-out recordings as real training data is: kurtosis; "
        "the other 2 are 1.9 to 3.0 times as far, covariance the furthest."
    )


def test_a_model_of_second_order_statistics_is_called_that() -> None:
    sentences = verdict({"k": entry(2.0, floor=0.2, phase=2.0, gaussian=2.0)})
    assert any(sentence.startswith("No score beats both surrogates") for sentence in sentences)
    assert "No better than a surrogate on kurtosis." in sentences


def test_reaching_every_floor_is_said_in_one_sentence() -> None:
    assert verdict({"a": entry(0.9), "b": entry(1.0)})[0] == (
        "On all 2 scores as close to held-out recordings as real training data is."
    )


def test_the_opening_says_how_bad_the_rest_is() -> None:
    one = verdict({"a": entry(0.9), "b": entry(12.0, title="Covariance")})[0]
    assert one.endswith("real training data is: kurtosis; covariance is 12 times as far.")
    none = verdict({"a": entry(2.0), "b": entry(9.0, title="Covariance")})[0]
    assert none == (
        "On 0 of 2 scores as close to held-out recordings as real training data is; "
        "all 2 are 2.0 to 9.0 times as far, covariance the furthest."
    )


def test_a_floor_at_the_ideal_is_taken_for_the_slack() -> None:
    tie = entry(0.6, floor=0.5, ideal=0.5, slack=0.02, phase=0.5, gaussian=1.0, title="C2ST")
    assert verdict({"c": tie})[0].endswith("C2ST is 5.0 times as far.")
    nothing = entry(0.6, floor=0.5, ideal=0.5, phase=0.5, gaussian=1.0, title="C2ST")
    assert verdict({"c": nothing})[0].endswith("as real training data is.")


def test_errors_are_equal_within_their_margin() -> None:
    margins = {"floor": 1.0, "phase_randomised": 0.5, "gaussian": 0.05}
    wide = entry(1.9, floor=1.0, phase=1.5, gaussian=2.3, margins=margins)["standing"]
    assert wide == {"floor": None, "phase_randomised": "equal", "gaussian": "closer"}
    assert entry(1.4, floor=1.0, margins=margins)["standing"]["floor"] is True
    narrow = entry(1.2, floor=1.0, margins={"floor": 0.05, "phase_randomised": 0.05, "gaussian": 0.05})["standing"]
    assert narrow == {"floor": False, "phase_randomised": "behind", "gaussian": "closer"}


def test_what_chance_may_explain_is_not_called_as_close() -> None:
    """Few recordings make wide margins: they must not turn a bad model into a good one."""
    margins = {"floor": 9.0, "phase_randomised": 9.0, "gaussian": 9.0}
    bad = entry(3.8, floor=1.0, title="Boosted C2ST", margins=margins)
    good = entry(0.9, floor=1.0, margins=margins)
    sentences = verdict({"c": bad, "k": good})
    assert sentences[0] == "On 1 of 2 scores as close to held-out recordings as real training data is: kurtosis."
    assert sentences[1] == (
        "Further off, up to 3.8 times as far, though so few recordings cannot exclude chance: boosted C2ST."
    )


def test_a_score_without_a_value_says_why() -> None:
    lacking = entry(None, title="Label consistency", note="n/a: nobody can read it")
    assert verdict({"l": lacking}) == ["Not defined for these windows: label consistency (nobody can read it)."]


def test_a_difference_that_is_certain_and_small_does_not_count() -> None:
    certain = {"floor": 0.0, "phase_randomised": 0.0, "gaussian": 0.0}
    found = entry(1.08, floor=1.0, gaussian=1.18, margins=certain)["standing"]
    assert found == {"floor": True, "phase_randomised": "equal", "gaussian": "equal"}


def test_a_tie_with_the_ideal_does_not_make_little_much() -> None:
    c2st: dict[str, Any] = {"title": "C2ST", "ideal": 0.5, "floor": 0.5, "phase": 0.5, "gaussian": 0.9}
    assert not entry(0.51, **c2st)["standing"]["floor"]
    assert entry(0.51, **c2st, slack=0.02)["standing"] == {
        "floor": True,
        "phase_randomised": "equal",
        "gaussian": "closer",
    }
    assert not entry(0.55, **c2st, slack=0.02)["standing"]["floor"]


def test_few_windows_or_people_are_said_before_what_is_read_from_them() -> None:
    (first, *_) = verdict({"a": entry(0.9)}, compared=31, people=4)
    assert first.startswith(
        "Few data: only 31 generated windows were compared and the held-out windows are of 4 people"
    )
    (one, *_) = verdict({"a": entry(0.9)}, compared=1, people=1)
    assert "only 1 generated window was compared and the held-out windows are of 1 person only" in one
    (less, *_) = verdict({"a": entry(0.9)}, compared=6, generated=64)
    assert "only 6 generated windows were compared (of 64, since there are no more training windows)" in less
    (all_of_them, *_) = verdict({"a": entry(0.9)}, compared=6, generated=6)
    assert "only 6 generated windows were compared, so" in all_of_them
    assert not any("Few data" in sentence for sentence in verdict({"a": entry(0.9)}, compared=32, people=5))
    assert not any("Few data" in sentence for sentence in verdict({"a": entry(0.9)}))


def test_the_opening_claims_no_more_than_its_people_can_tell() -> None:
    six = verdict({"a": entry(0.9)}, compared=64, people=6)[0]
    assert six.startswith("As far as 6 held-out people can tell, on the only score as close to held-out recordings as")
    assert verdict({"a": entry(0.9)}, compared=64, people=20)[0].startswith("On the only score")


def test_parts_and_context_do_not_speak() -> None:
    assert verdict({"a": entry(9.0, detail=True)}) == []


def test_what_is_not_defined_is_named() -> None:
    assert verdict({"a": entry(None, title="Covariance")}) == ["Not defined for these windows: covariance."]


def test_abbreviations_keep_their_capitals() -> None:
    assert "MMD of features" in verdict({"a": entry(0.9, title="MMD of features"), "b": entry(9.0)})[0]
