"""sd-sample is asked for labels: what it understands, what it refuses, what the windows carry."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.cli.sample import main
from sd_core.config.read import read_run
from sd_core.run.checkpoint import newest
from sd_core.run.sample import asked_of, generate, load_run
from sd_core.run.stored import EXAMPLES_KEPT, TASK, _scattered, read_card
from sd_core.run.train import train
from sd_core.testing.toys import TOY_SIGNAL, toy_config, toy_registry, write_toy_windows
from sd_core.testing.windows import CLASSES, made_up_rows
from sd_core.windows.writing import write_windows

TEMPLATE = "EEG of a(n)[ {age:.0f}-year-old] {gender:F=woman|M=man}[ ({health})], {state}"
KINDS: dict[str, dict[str, Any]] = {
    "none": {},
    "classes": {"conditioning": {"width": 8}},
    "attributes": {"conditioning": {"width": 8}},
    "caption": {"conditioning": {"width": 8, "layers": 1, "max_bytes": 64}},
    "template": {"conditioning": {"width": 8, "layers": 1, "template": TEMPLATE}},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A toy model of each conditioning after one step."""
    folder = tmp_path_factory.mktemp("conditional")
    data = write_toy_windows(folder / "data")
    for name, tables in KINDS.items():
        conditioning = "caption" if name == "template" else name
        path = folder / f"{name}.toml"
        path.write_text(
            toy_config(data, **tables, model={"conditioning": conditioning}, training={"max_train_steps": 1})
        )
        train(read_run(path, (), toy_registry()), folder / name, registry=toy_registry())
    return {name: folder / name for name in KINDS}


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr("sd_core.registry.discover", toy_registry)

    def call(*arguments: object) -> Result:
        given = ["-o", tmp_path / "out", *arguments]
        return CliRunner().invoke(main, list(map(str, given)), catch_exceptions=False)

    return call


def archive(folder: Path) -> dict[str, Any]:
    with np.load(folder / "out" / "windows.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize(
    ("kind", "flags", "columns"),
    [
        ("classes", ["--class", "Arithmetic"], {"label": "arithmetic"}),
        ("classes", ["--class", "0"], {"label": "rest"}),
        (
            "attributes",
            ["--gender", "female", "--health", "pd", "--age", "63"],
            {"gender": "F", "health": "PD", "age": 63},
        ),
        ("attributes", ["--health", "unknown"], {"health": ""}),
        ("caption", ["--caption", "Ein EEG"], {"caption": "Ein EEG"}),
        ("caption", ["--caption", ""], {"caption": ""}),
        (
            "template",
            ["--gender", "M", "--age", "81.4", "--health", "unknown"],
            {"gender": "M", "age": 81.4, "health": "", "caption": "EEG of an 81-year-old man, "},
        ),
        ("template", ["--caption", "anything"], {"caption": "anything", "gender": "", "state": ""}),
    ],
)
def test_windows_carry_what_was_asked(
    runs: dict[str, Path], sample: Any, tmp_path: Path, *, kind: str, flags: list[str], columns: dict[str, Any]
) -> None:
    done = sample(runs[kind], "-n", 3, *flags)
    assert done.exit_code == 0, done.output
    found = archive(tmp_path)
    for name, value in columns.items():
        for got in found[f"column_{name}"].tolist():
            assert got == value or (name == "caption" and got.startswith(value)), name
    provenance = json.loads(str(found["provenance"]))
    assert provenance["asked"] == {flag[2:]: value for flag, value in zip(flags[::2], flags[1::2], strict=True)}


@pytest.mark.parametrize(
    ("kind", "flags", "problem"),
    [
        ("none", ["--class", "rest"], '--class has nothing to act on.*conditioning = "none"'),
        ("classes", ["--class", "rst"], r"no class 'rst'; did you mean 'rest'\? this run knows rest, arithmetic"),
        ("classes", ["--class", "2"], r"--class 2 is out of range: the classes are 0 to 1 \(rest, arithmetic\)"),
        ("classes", ["--class", "-1"], "--class -1 is out of range"),
        ("classes", ["--age", "63"], """conditioning = "classes", which is not told 'age'; it takes --class"""),
        ("attributes", ["--age", "old"], "--age: 'old' is not a number"),
        ("attributes", ["--age", "inf"], "--age: 'inf' is not a number"),
        (
            "attributes",
            ["--health", "PDD"],
            r"Error: --health: no health 'PDD'; did you mean 'PD'\? this run knows H, PD",
        ),
        ("caption", ["--gender", "F"], "which is not told 'gender'; it takes --caption"),
        ("caption", ["--caption", "x" * 65], "1 of 1 different captions are longer than the 64 bytes"),
        ("template", ["--caption", "x", "--age", "4"], "--caption is the whole sentence: leave out --age"),
        ("template", ["--class", "rest"], "it takes --age, --caption, --gender, --health, the column 'state'"),
    ],
)
def test_what_a_run_was_not_trained_for_is_one_sentence(
    runs: dict[str, Path], sample: Any, monkeypatch: pytest.MonkeyPatch, *, kind: str, flags: list[str], problem: str
) -> None:
    monkeypatch.setattr("sd_core.run.drawing.Drawer.examples", lambda *_, **__: pytest.fail("too late"))
    done = sample(runs[kind], "-n", 1, *flags)
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    assert said.startswith("Error: ")
    assert re.search(problem, said), said


def test_a_table_asks_for_each_window(runs: dict[str, Path], sample: Any, tmp_path: Path) -> None:
    table = tmp_path / "wanted.csv"
    table.write_text("\ufeffgender, state,age\nF,rest,30\nM,arithmetic,\nM,rest,unknown\n", encoding="utf-8")
    done = sample(runs["template"], "--conditions", table)
    assert done.exit_code == 0, done.output
    assert "taken from train windows at random where not given: age, health" in done.output
    found = archive(tmp_path)
    assert len(found["signal"]) == 3
    assert found["column_gender"].tolist() == ["F", "M", "M"]
    assert found["column_state"].tolist() == ["rest", "arithmetic", "rest"]
    assert np.isnan(found["column_age"]).tolist() == [False, False, True]
    assert found["column_caption"][0].startswith("EEG of a 30-year-old woman (")
    assert found["column_caption"][2].startswith("EEG of a man (")


@pytest.mark.parametrize(
    ("text", "flags", "problem"),
    [
        ("", [], "holds no conditions"),
        ("gender\n", [], "holds no conditions"),
        ("gender,age\nF\n", [], "line 2 .* another number of cells"),
        ("gender\nF\n", ["-n", 2], "-n 2: .* holds 1 rows"),
        ("gender\nF\n", ["--age", 4], "put --age into a column"),
        ("gendre\nF\n", [], "line 2 of '.*wanted.csv', column 'gendre': .*did you mean 'gender'"),
        ("gender,age\nF,30\nM,old\n", [], "line 3 of '.*wanted.csv', column 'age': 'old' is not a number"),
        ("health\nPD\n\nPDD\n", [], r"line 4 of '.*wanted.csv', column 'health': no health 'PDD'; did you mean 'PD'\?"),
        ("label\nrest\n", [], "line 2 of '.*wanted.csv', column 'label': .* not told 'class'"),
    ],
)
def test_a_table_with_a_slip_is_one_sentence(
    runs: dict[str, Path], sample: Any, tmp_path: Path, *, text: str, flags: list[object], problem: str
) -> None:
    (tmp_path / "wanted.csv").write_text(text)
    done = sample(runs["attributes"], "--conditions", tmp_path / "wanted.csv", *flags)
    assert done.exit_code == 2
    assert re.search(problem, " ".join(done.output.split())), done.output


def test_without_a_word_labels_are_those_of_train_windows(runs: dict[str, Path], sample: Any) -> None:
    loaded = load_run(runs["attributes"], registry=toy_registry())
    columns = asked_of(loaded, 200, 0).columns()
    there = set(zip(*(loaded.card.label_examples[role] for role in ("gender", "health")), strict=True))
    names = loaded.card.labels.categories
    drawn = set(zip(columns["gender"], columns["health"], strict=True))
    assert drawn == {(names["gender"][gender], names["health"][health]) for gender, health in there}
    assert columns == asked_of(loaded, 200, 0).columns()
    assert columns != asked_of(loaded, 200, 1).columns()
    done = sample(runs["attributes"], "-n", 1)
    assert "taken from train windows at random where not given: age, gender, health" in done.output
    assert "train windows" not in sample(runs["none"], "-n", 1).output


@pytest.mark.parametrize("rows", [1, 3, 512, 1023, 5110, 100_000])
def test_kept_labels_are_from_all_over_the_split_and_alternating_ones_alike(rows: int) -> None:
    count = min(EXAMPLES_KEPT, rows)
    scattered = _scattered(rows, count)
    assert len(set(scattered.tolist())) == count
    assert (np.abs(scattered - np.linspace(0, rows - 1, count)) <= rows / count).all()
    if rows >= 2 * EXAMPLES_KEPT - 1:
        assert abs((scattered % 2).mean() - 0.5) < 0.1


def test_what_is_open_goes_with_what_is_asked(runs: dict[str, Path]) -> None:
    loaded = load_run(runs["attributes"], registry=toy_registry())
    columns = asked_of(loaded, 100, 0, [{"health": "PD"}]).columns()
    examples = loaded.card.label_examples
    sick = {age for age, health in zip(examples["age"], examples["health"], strict=True) if health == 1}
    assert set(columns["health"]) == {"PD"}
    assert set(columns["age"]) <= sick


def test_a_window_depends_on_what_is_asked_of_it_and_on_nothing_else(runs: dict[str, Path]) -> None:
    loaded = load_run(runs["classes"], registry=toy_registry())
    rest, work = (generate(loaded, 2, given=[{"class": name}]).signal for name in ("rest", "arithmetic"))
    mixed = generate(loaded, 2, given=[{"class": "rest"}, {"class": "arithmetic"}]).signal
    assert not np.allclose(rest, work)
    np.testing.assert_allclose(mixed, [rest[0], work[1]], rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Toy models of windows none of which is of somebody at rest, though the column declares it."""
    folder = tmp_path_factory.mktemp("at-work")
    rows = {
        split: [row for row in made_up_rows(16, TOY_SIGNAL, first_subject=first) if row["label"] == "arithmetic"]
        for split, first in (("train", 0), ("validation", 500), ("test", 700))
    }
    write_windows(folder / "data", rows, TOY_SIGNAL, {"corpus": "miniature"}, classes=CLASSES)
    for kind in ("classes", "none"):
        path = folder / f"{kind}.toml"
        path.write_text(
            toy_config(folder / "data", **KINDS[kind], model={"conditioning": kind}, training={"max_train_steps": 1})
        )
        train(read_run(path, (), toy_registry()), folder / kind, registry=toy_registry())
    return {kind: folder / kind for kind in ("classes", "none")}


@pytest.mark.parametrize("asked", ["rest", "Rest", "0"])
def test_a_class_that_no_train_window_has_is_refused(workers: dict[str, Path], sample: Any, asked: str) -> None:
    done = sample(workers["classes"], "-n", 1, "--class", asked)
    assert done.exit_code == 2
    assert "--class: no train window of this run has the class 'rest'" in done.output
    assert done.output.rstrip().endswith("learned were arithmetic")
    for learned in ("arithmetic", "1", "unknown"):
        assert sample(workers["classes"], "-n", 1, "--class", learned).exit_code == 0


def test_a_training_says_which_classes_it_cannot_learn(
    workers: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, trained in workers.items():
        caplog.clear()
        run = read_run(trained.with_suffix(".toml"), (), toy_registry())
        train(run, tmp_path / kind, registry=toy_registry())
        assert ("no train window has the class rest" in caplog.text) == (kind == "classes")


def test_a_checkpoint_from_before_knows_no_unseen_values(workers: dict[str, Path], tmp_path: Path) -> None:
    old = shutil.copytree(newest(workers["classes"]), tmp_path / "old")
    card = json.loads((old / TASK).read_text())
    del card["unseen"]
    (old / TASK).write_text(json.dumps(card))
    assert read_card(old).unseen == {}


@pytest.mark.parametrize(
    ("kind", "row", "words"),
    [
        ("caption", {"caption": "eeg, REST, zebra and Auge"}, "'Auge', 'and', 'zebra'"),
        ("caption", {"caption": "EEG, restt"}, "'restt'"),
        ("caption", {"caption": "EEG, arithmetic"}, ""),
        ("caption", {"caption": ""}, ""),
        ("template", {"age": "71"}, "'71'"),
        ("template", {"gender": "F"}, ""),
        ("classes", {"class": "rest"}, ""),
    ],
)
def test_words_that_no_training_caption_has_are_named(
    runs: dict[str, Path], caplog: pytest.LogCaptureFixture, *, kind: str, row: dict[str, str], words: str
) -> None:
    loaded = load_run(runs[kind], registry=toy_registry())
    asked_of(loaded, 8, 0, [row])
    said = [record.getMessage() for record in caplog.records if "no training caption" in record.getMessage()]
    assert len(said) == bool(words)
    if words:
        assert re.search(rf"words? {words}: ", said[0]), said
