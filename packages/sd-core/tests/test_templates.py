"""Sentences from labels."""

from __future__ import annotations

import pytest

from sd_core.errors import SdError
from sd_core.templates import Template, Value

PERSON = "EEG of a(n)[ {age:.0f}-year-old] {gender:F=woman|M=man|=person}[ ({health})], {state}"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"age": 63.0, "gender": "F", "health": "PD", "state": "rest"},
            "EEG of a 63-year-old woman (PD), rest",
        ),
        ({"age": 81.2, "gender": "M", "state": "rest"}, "EEG of an 81-year-old man, rest"),
        ({"age": None, "gender": None, "health": None, "state": "task"}, "EEG of a person, task"),
        ({"age": 18.0, "gender": "X"}, "EEG of an 18-year-old unknown, unknown"),
        ({"age": None, "health": None}, ""),
        ({}, ""),
    ],
)
def test_what_is_missing_is_left_out(values: dict[str, Value], sentence: str) -> None:
    assert Template(PERSON).render(values) == sentence


def test_it_says_which_labels_it_names_and_which_are_numbers() -> None:
    template = Template("{age:.1f} {state} {age} {score:g}")
    assert template.fields == ("age", "state", "score")
    assert template.numbers == {"age", "score"}


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("{x}", 2.0, "2"),
        ("{x:a=b|*}", "c", "c"),
        ("{x:a=b|*}", "a", "b"),
        ("{x:a=b}", "c", "unknown"),
        ("{x:a=|*}[ with {x:a=|*}]", "a", "unknown"),
        ("{{{x}}} [[{x}]]", "v", "{v} [v]"),
        ("a(n) {x}", "unknown thing", "an unknown thing"),
        ("A(n) {x}", "woman", "A woman"),
        ("a  {x} ", "b", "a b"),
    ],
)
def test_the_language(text: str, value: Value, said: str) -> None:
    assert Template(text).render({"x": value}) == said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no label", "names no label"),
        ("{x} [y", r"'\[' without its partner"),
        ("{x} y]", r"'\]' without its partner"),
        ("[a [{x}] b]", r"'\[' without its partner"),
        ("{x} {", "encloses no label"),
        ("{}", "encloses no label"),
        ("{x:woman}", r"F=woman\|M=man"),
        ("{x:..f}", "Python does not know"),
    ],
)
def test_a_slip_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(SdError, match=problem):
        Template(text)
