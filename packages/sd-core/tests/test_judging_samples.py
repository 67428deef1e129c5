"""sd-evaluate --real --generated: windows from anywhere, judged as a run's own are; what does not fit is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sd_core.cli.evaluate import main
from sd_core.exporters import Npz, WindowDataset
from sd_core.judging.foreign import judge_samples
from sd_core.options import NoOptions
from sd_core.task import SignalInfo, Windows
from sd_core.testing.judges import judging_registry
from sd_core.testing.toys import TOY_SIGNAL, write_toy_windows
from sd_core.testing.windows import write_miniature

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("real") / "data")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr("sd_core.judging.foreign.discover", judging_registry)
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def made(count: int = 5, info: SignalInfo = TOY_SIGNAL, scale: float = 10.0) -> Windows:
    rng = np.random.default_rng(1)
    signal = scale * rng.standard_normal((count, info.n_channels, info.n_samples)).astype(np.float32)
    return Windows(signal=signal, info=info, columns={"label": ["rest"] * count})


def archive(folder: Path, windows: Windows, **provenance: Any) -> Path:
    Npz(NoOptions())(windows, folder, provenance)
    return folder


def test_an_archive_and_a_dataset_of_the_same_windows_have_the_same_scores(real: Path, tmp_path: Path) -> None:
    told = {"sampler": "heun", "seed": 7, "step": None}
    archive(tmp_path / "npz", made(), **told)
    WindowDataset(NoOptions())(made(), tmp_path / "dataset", told)
    found = [
        judge_samples(real, tmp_path / name, out=tmp_path / f"out-{name}", registry=judging_registry()).evaluation
        for name in ("npz", "dataset")
    ]
    assert found[0]["scores"] == found[1]["scores"]
    expected = abs(made().signal.std() - 10.2)
    assert found[0]["scores"]["spread"]["value"] == pytest.approx(expected, abs=1.0)
    assert found[0]["counts"].items() >= {"real": 6, "train": 12, "generated": 5, "compared": 5}.items()
    for evaluation in found:
        card = evaluation["card"]
        assert card["sampler"] == "heun"
        assert card["seed"] == 7
        assert "step" not in card  # unknown: left out
        assert card["count"] == 5
        assert card["reference"].startswith("sha256:")
        assert card["subjects"] == {"train": 6, "reference": 3}
    assert found[0]["card"]["reference"] == found[1]["card"]["reference"]


def test_it_says_what_it_takes_for_what_and_writes_beside_the_samples(
    real: Path, tmp_path: Path, command: Command
) -> None:
    done = command("--real", real, "--generated", archive(tmp_path / "mine", made()))
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert f"the reference is split 'test' of '{real}'" in said
    assert f"take split 'train' of '{real}'" in said
    written = json.loads((tmp_path / "mine-evaluation" / "metrics.json").read_text())
    assert "spread" in written["scores"]
    sizes, title, curves = json.loads((tmp_path / "mine-evaluation" / "report.txt").read_text())
    assert (sizes, title, curves) == ({"real": 6, "generated": 5, "train": 12}, "mine", [])
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["windows.npz"]


def test_splits_train_folder_count_seed_and_settings_are_heard(real: Path, tmp_path: Path, command: Command) -> None:
    generated = archive(tmp_path / "mine", made(9))
    (tmp_path / "mine" / "more.npz").write_bytes((generated / "windows.npz").read_bytes())
    trained = write_miniature(tmp_path / "trained", TOY_SIGNAL, train=20)
    arguments = ["--real-split", "validation", "--train", trained, "-n", 7, "--seed", 3, "-o", tmp_path / "out"]
    done = command("--real", real, "--generated", generated, *arguments, "--set", "evaluation.extras.spread.gain=100.0")
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["counts"].items() >= {"real": 6, "train": 20, "generated": 7, "compared": 7}.items()
    assert written["card"]["reference_split"] == "validation"
    assert written["card"]["judging_seed"] == 3
    assert any("7 of the 18 windows" in note for note in written["notes"])
    assert written["scores"]["spread"]["floor"] > 5


def test_people_on_both_sides_are_named(real: Path, tmp_path: Path) -> None:
    generated = archive(tmp_path / "mine", made())
    found = [
        judge_samples(real, generated, train=real, splits=splits, registry=judging_registry()).evaluation["notes"]
        for splits in (("test", "train"), ("test", "test"))
    ]
    said = ["3 subjects are in the reference and in the training windows" in " ".join(notes) for notes in found]
    assert said == [False, True]


def test_people_of_archives_without_a_corpus_are_compared_and_unknown_ones_are_not(tmp_path: Path) -> None:
    def notes(name: str, subjects: list[str | None]) -> str:
        named = replace(made(), columns={"subject": subjects})
        folders = [archive(tmp_path / name / role, named) for role in "rgt"]
        judged = judge_samples(folders[0], folders[1], train=folders[2], registry=judging_registry())
        return " ".join(judged.evaluation["notes"])

    shared = "in the reference and in the training windows"
    assert f"2 subjects are {shared}" in notes("known", ["a", "a", "b", "b", "b"])
    assert f"1 subject is {shared}" in notes("some", ["a", None, None, None, None])
    assert shared not in notes("unknown", [None] * 5)


def test_the_card_says_where_the_real_windows_are_from(tmp_path: Path) -> None:
    data = write_toy_windows(tmp_path / "data")
    generated = archive(tmp_path / "mine", made())
    assert judge_samples(data, generated, registry=judging_registry()).evaluation["card"]["data"] == {
        "corpus": "miniature"
    }
    meta = json.loads((data / "windows.json").read_text())
    meta["about"] = {"source": "PhysioNet", "licence": "ODC-BY"}
    (data / "windows.json").write_text(json.dumps(meta))
    card = judge_samples(data, generated, registry=judging_registry()).evaluation["card"]
    assert card["data"] == {"corpus": "miniature", "source": "PhysioNet", "licence": "ODC-BY"}
    assert (
        "data"
        not in judge_samples(generated, generated, train=generated, registry=judging_registry()).evaluation["card"]
    )


def test_archives_alone_will_do(real: Path, tmp_path: Path) -> None:
    folders = [archive(tmp_path / name, made(count)) for name, count in (("r", 4), ("g", 5), ("t", 6))]
    judged = judge_samples(folders[0], folders[1], train=folders[2] / "windows.npz", registry=judging_registry())
    assert judged.evaluation["counts"].items() >= {"real": 4, "train": 6, "generated": 5, "compared": 5}.items()
    assert "reference_split" not in judged.evaluation["card"]


def test_electrodes_go_by_name(real: Path, tmp_path: Path) -> None:
    windows = made()
    turned = replace(
        windows,
        signal=windows.signal[:, ::-1],
        info=replace(TOY_SIGNAL, channel_names=tuple(name.upper() for name in reversed(TOY_SIGNAL.channel_names))),
    )
    results = [
        judge_samples(real, archive(tmp_path / name, one), registry=judging_registry()).evaluation
        for name, one in (("straight", windows), ("turned", turned))
    ]
    assert results[0]["scores"] == results[1]["scores"]
    assert any("put into the order" in note for note in results[1]["notes"])


@pytest.mark.parametrize(
    ("reference", "trained", "said"),
    [
        ("original", "average", "generated windows to original, held-out windows to average, training windows to ave"),
        ("original", "unknown", "generated windows to original, held-out windows to average; training windows do not"),
        ("unknown", "average", ""),
    ],
)
def test_another_reference_is_said_once(tmp_path: Path, reference: str, trained: str, said: str) -> None:
    real, generated, train = (
        archive(tmp_path / name, made(info=replace(TOY_SIGNAL, reference=referenced)))
        for name, referenced in (("r", "average"), ("g", reference), ("t", trained))
    )
    evaluation = judge_samples(real, generated, train=train, registry=judging_registry()).evaluation
    assert [said in warning for warning in evaluation["warnings"]] == [True] * bool(said)
    assert "referenced" not in " ".join(evaluation["notes"])


GEOMETRIES = {
    "rate": (replace(TOY_SIGNAL, sfreq=250.0), r"sampled at 250 Hz, --real '.*' at 125 Hz"),
    "montage": (
        replace(TOY_SIGNAL, channel_names=("Fz", "Cz", "Pz", "O1")),
        "other electrodes than --real .*lacks Oz and has besides O1",
    ),
    "fewer": (replace(TOY_SIGNAL, channel_names=("Fz", "Cz")), "lacks Pz, Oz; both"),
    "length": (replace(TOY_SIGNAL, n_samples=64), r"windows of 64 samples, --real '.*' of 32"),
}


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_another_kind_of_window_is_one_sentence_before_anything_is_computed(
    real: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("sd_core.judging.foreign.judged", lambda *_, **__: pytest.fail("too late"))
    info, problem = GEOMETRIES[kind]
    done = command("--real", real, "--generated", archive(tmp_path / "mine", made(info=info)))
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert said.startswith("Error: --generated '")
    assert re.search(problem, said), said
    assert not (tmp_path / "mine-evaluation").exists()


def test_volts_are_refused_said_or_not(real: Path, tmp_path: Path, command: Command) -> None:
    windows = made(scale=1e-5)
    arrays: dict[str, Any] = {"signal": windows.signal, "channel_names": list(TOY_SIGNAL.channel_names), "sfreq": 125}
    cases: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("said", {"unit": "V"}, "is in V, not in microvolts"),
        ("unsaid", {}, "does not say its unit"),
    )
    for name, more, problem in cases:
        np.savez(tmp_path / f"{name}.npz", **arrays, **more)
        done = command("--real", real, "--generated", tmp_path / f"{name}.npz")
        assert done.exit_code == 2
        assert problem in " ".join(done.output.split())
    np.savez(tmp_path / "micro.npz", **{**arrays, "signal": 1e6 * windows.signal})
    done = command("--real", real, "--generated", tmp_path / "micro.npz")
    assert done.exit_code == 0
    assert "does not say its unit: taken for microvolts" in " ".join(done.output.split())


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no rate": ({"sfreq": None}, "has no array 'sfreq'"),
    "flat": ({"signal": np.zeros((4, 32))}, r"signal is float64 \(4, 32\), not numbers"),
    "names": ({"channel_names": ["Fz"]}, "names 1 channels for signals of 4"),
    "nan": ({"signal": np.full((2, 4, 32), np.nan)}, "NaN or infinite"),
    "empty": ({"signal": np.zeros((0, 4, 32))}, "holds no windows"),
    "objects": ({"signal": np.array([None, 1])}, "cannot be read"),
    "zero rate": ({"sfreq": 0.0}, "sfreq must be one number"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_archive_with_a_slip_is_one_sentence(real: Path, tmp_path: Path, command: Command, kind: str) -> None:
    changed, problem = ARRAYS[kind]
    arrays: dict[str, Any] = {"signal": made().signal, "channel_names": list(TOY_SIGNAL.channel_names), "sfreq": 125.0}
    kept = {name: value for name, value in {**arrays, **changed}.items() if value is not None}
    np.savez(tmp_path / "x.npz", **kept)
    done = command("--real", real, "--generated", tmp_path / "x.npz")
    assert done.exit_code == 2
    assert re.search(problem, " ".join(done.output.split())), done.output


def test_what_is_no_set_of_windows_says_what_to_do(real: Path, tmp_path: Path, command: Command) -> None:
    for name, more, word in (("fif", "x-epo.fif", "files"), ("bids", "sub-1/eeg/sub-1_eeg.edf", "bids")):
        file = tmp_path / name / more
        file.parent.mkdir(parents=True)
        file.touch()
        if name == "bids":
            (tmp_path / name / "dataset_description.json").write_text("{}")
        done = command("--real", real, "--generated", tmp_path / name)
        assert done.exit_code == 2
        assert f"sd-data build {word} --source" in " ".join(done.output.split())
    (tmp_path / "empty").mkdir()
    nothing = command("--real", real, "--generated", tmp_path / "empty")
    assert "empty' is empty: it takes a window dataset, or archives" in " ".join(nothing.output.split())
    (tmp_path / "run" / "checkpoint-3").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint-3" / "task.json").touch()
    assert "is a trained model" in command("--real", real, "--generated", tmp_path / "run").output
    (tmp_path / "broken.npz").write_bytes(b"PK no")
    assert "cannot be read" in command("--real", real, "--generated", tmp_path / "broken.npz").output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "name a RUN to judge"),
        (["--generated", "{made}"], "both --real and --generated"),
        (["run", "--generated", "{made}"], "not both"),
        (["--real", "{real}", "--generated", "nowhere"], "--generated 'nowhere': there is no such"),
        (["--real", "{made}", "--generated", "{made}"], "name the training windows, too, with --train"),
        (["--real", "{real}", "--generated", "{made}", "--real-split", "tset"], "no split 'tset'; its splits are"),
        (["--real", "{real}", "--generated", "{made}", "--set", "training.seed=3"], "only .evaluation. can be set"),
        (["--real", "{real}", "--generated", "{made}", "--set", "evaluation.num=3"], "num"),
        (["--real", "{real}", "--generated", "{made}", "--set", 'evaluation.metrics=["spred"]'], "'spread'"),
    ],
)
def test_a_slip_on_the_command_line_is_one_sentence(
    real: Path, tmp_path: Path, command: Command, arguments: list[str], problem: str
) -> None:
    generated = archive(tmp_path / "mine", made())
    done = command(*(text.format(real=real, made=generated) for text in arguments))
    assert done.exit_code == 2
    assert re.search(problem, " ".join(done.output.split())), done.output


def test_windows_from_anywhere_need_no_torch() -> None:
    code = "import sys, sd_core.judging.foreign; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
