"""`sd-data` from the outside: options, refusals, tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from datasets import Array2D, Dataset, DatasetDict, Features, Value

from sd_core.testing.windows import write_miniature
from sd_core.windows.opening import read_meta
from sd_data.cli import main


def sd_data(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_help_starts_fast() -> None:
    script = (
        "import sys; from sd_data.cli import main\n"
        "try: main(['build', '--help'])\n"
        "finally: print([name for name in ('torch', 'mne', 'numpy', 'datasets', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "sd-data build eegmat --source ~/eegmat -o data/eegmat" in done.stdout


def test_a_corpus_is_built_and_summarised(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "demo"
    done = sd_data(
        "build", "demo", "-o", str(out), "--channels", "Fz,Cz,Pz",
        "--set", "subjects=3", "--set", "windows_per_state=1", "--set", "reference=original",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "3 channels x 2048 samples at 125 Hz" in done.stdout
    assert [line.split() for line in done.stdout.splitlines()[2:5]] == [
        ["train", "1", "2"],
        ["validation", "1", "2"],
        ["test", "1", "2"],
    ]
    meta = read_meta(out)
    assert meta["reference"] == "original"
    assert meta["options"]["subjects"] == 3
    assert meta["filter"] == {"low_hz": 0.5, "high_hz": 45.0, "notch_hz": 50.0}
    assert set(meta["software"]) >= {"python", "mne", "numpy", "sd-data"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "subjetcs=4"], "corpus 'demo' has no option 'subjetcs'; did you mean 'subjects'?"),
        (["--set", "subjects=0"], "option 'subjects': Input should be greater than or equal to 1"),
        (["--set", 'subjects="4"'], "option 'subjects': Input should be a valid integer"),
        (["--set", "high_hz=90"], "high_hz (90) must be below half of sfreq (125)"),
        (["--set", "subjects"], "--set subjects: write it as key=value"),
        (["--source", "x"], "corpus 'demo' has no option 'source'"),
        (["--skip-bad"], "corpus 'demo' has no option 'skip_bad'"),
    ],
)
def test_wrong_options_are_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = sd_data("build", "demo", "-o", str(tmp_path / "d"), *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_corpus_and_a_missing_source_are_one_sentence(tmp_path: Path) -> None:
    unknown = sd_data("build", "eegmatt", "-o", str(tmp_path / "d"))
    assert (unknown.exit_code, "did you mean 'eegmat'?" in unknown.stderr) == (2, True)
    missing = sd_data("build", "eegmat", "-o", str(tmp_path / "d"))
    assert (missing.exit_code, "--source DIR" in missing.stderr) == (2, True)


def test_an_existing_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    done = sd_data("build", "demo", "-o", str(tmp_path))
    assert done.exit_code == 2
    assert "exists already" in done.stderr


def test_inspect_shows_splits_labels_and_amplitudes(tmp_path: Path) -> None:
    done = sd_data("inspect", str(write_miniature(tmp_path / "d")))
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["train", "12", "6", "12", "20-25"] in lines
    assert ["miniature", "rest", "F", "H", "2", "1", "1"] in lines
    amplitudes = next(line for line in reversed(lines) if line and line[0] == "train")
    assert float(amplitudes[1]) == pytest.approx(10, abs=0.5)


def test_inspect_says_that_balance_is_not_in_use_and_nothing_of_one_that_changes_nothing(tmp_path: Path) -> None:
    done = sd_data("inspect", str(write_miniature(tmp_path / "d")))
    assert 'not in use; a config with [dataset] balance = ["corpus", "gender", "health"] would' in done.stdout
    assert "[dataset] balance" not in sd_data("inspect", str(tmp_path / "d"), "--balance", "corpus,gender").stdout


def test_inspect_names_what_is_wrong(tmp_path: Path) -> None:
    signals = np.random.default_rng(0).standard_normal((6, 2, 50)).astype(np.float32)
    signals[4, 0, 0] = np.nan
    signals[:, 1] *= 0.01
    features = Features(signal=Array2D((2, 50), "float32"), state=Value("string"))
    dataset = Dataset.from_dict({"signal": list(signals), "state": ["rest"] * 6}, features=features)
    DatasetDict({"train": dataset}).save_to_disk(str(tmp_path / "d"))
    done = sd_data("inspect", str(tmp_path / "d"))
    assert done.exit_code == 2
    assert "train: NaN or infinite samples in rows 4" in done.stdout
    assert "train: flat channels (below 0.5 uV): ch02" in done.stdout
    assert "has 2 problems" in done.stderr


def test_inspect_of_nothing_names_the_ways_on(tmp_path: Path) -> None:
    done = sd_data("inspect", str(tmp_path / "nothing"))
    assert done.exit_code == 2
    assert "sd-data build eegmat" in done.stderr
    assert "--set dataset.name=demo" in done.stderr


def test_inspect_finds_names_under_the_data_root(tmp_path: Path) -> None:
    write_miniature(tmp_path / "root" / "processed")
    assert sd_data("inspect", "processed", "--data-root", str(tmp_path / "root")).exit_code == 0
