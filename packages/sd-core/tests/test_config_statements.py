"""The scanner finds the line of everything that tomllib parses, and what is written twice."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from sd_core.config.statements import duplicates, scan, split_key

EVERYTHING = '''# a comment with [brackets] and key = "value"
top = 1
"quoted key" = 2  # and [a comment]

[model]   # comment
name = "di#t"
depths = [
    1,  # one ] bracket
    2,
    "[not.a.table]",
]
text = """
[training]
epochs = 3
\\""" still inside ""\\"
"""
raw = \'\'\'
[scheduler]
it's\'\'\'\'
inline = { a = 1, b = { c = [1, 2] } }
extras.depth.of = 3
'single "quoted"'.x = 1

[ model . extras2 ]
"a.b" = 1
[[runs]]
x = 1
[[runs]]
x = 2
[training]
last = true'''


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for key, value in values.items():
        if isinstance(value, dict) and key != "inline":
            found |= leaves(value, (*path, key))
        elif key != "runs":
            found.add((*path, key))
    return found


def test_every_key_that_the_parser_finds_has_its_line() -> None:
    statements = scan(EVERYTHING)
    values = {statement.path for statement in statements if statement.kind == "value"}
    assert values == leaves(tomllib.loads(EVERYTHING)) | {("runs", "x")}
    lines = EVERYTHING.split("\n")
    for statement in statements:
        assert statement.path[-1].strip("\"'") in lines[statement.line - 1], statement
    headers = {statement.path: statement.line for statement in statements if statement.kind == "table"}
    assert headers == {("model",): 5, ("model", "extras2"): 24, ("training",): 30}
    assert [statement.line for statement in statements if statement.kind == "array"] == [26, 28]
    assert duplicates(statements) == []


@pytest.mark.parametrize(
    ("text", "path", "lines"),
    [
        ("[training]\na=1\n[model]\n[training]\nb=1", ("training",), (1, 4)),
        ("[training]\na=1\n\na=2", ("training", "a"), (2, 4)),
        ("a.b=1\n[a]\nc=1", ("a",), (1, 2)),
        ("a.b=1\n[a.b]", ("a", "b"), (1, 2)),
        ("[m]\nextras={}\n[m.extras]\nx=1", ("m", "extras"), (2, 3)),
        ("[m]\nextras={}\n[m.extras.deep]\nx=1", ("m", "extras"), (2, 3)),
        ("[m.extras]\nx=1\n[m]\nextras.y=2", ("m", "extras"), (1, 4)),
        ("[m]\nextras=1\nextras.y=2", ("m", "extras"), (2, 3)),
        ("[a]\n[[a]]", ("a",), (1, 2)),
        ("[[a]]\nx=1\n[a]\n", ("a",), (1, 3)),
        ('[a]\n"x"=1\nx=2', ("a", "x"), (2, 3)),
    ],
)
def test_what_is_written_twice_is_found_with_both_lines(
    text: str, path: tuple[str, ...], lines: tuple[int, int]
) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    (found,) = duplicates(scan(text))
    assert (found.path, (found.first, found.second)) == (path, lines)


@pytest.mark.parametrize(
    "text",
    ["[a.b]\nx=1\n[a]\ny=1", "a.b=1\na.c=2", "[a]\nb.c=1\nb.d=2\n[a.e]", "[[a]]\n[a.b]\nx=1\n[[a]]\n[a.b]\nx=1", ""],
)
def test_what_toml_allows_is_no_duplicate(text: str) -> None:
    tomllib.loads(text)
    assert duplicates(scan(text)) == []


def test_malformed_lines_are_passed_over() -> None:
    text = "[model\nname = 'dit\nwhat\n= 3\n[training]\nepochs = 2\n"
    assert scan(text)[-1].path == ("training", "epochs")
    assert scan(text)[-1].line == 6


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("model.name", ("model", "name")),
        ("a . b", ("a", "b")),
        ('evaluation.extras."dpm++".x', ("evaluation", "extras", "dpm++", "x")),
        (r'"tab\t"', ("tab\t",)),
        ("a..b", None),
        ("", None),
        ("a b", None),
    ],
)
def test_dotted_keys_split_at_their_dots(text: str, parts: tuple[str, ...] | None) -> None:
    assert split_key(text) == parts
