"""What goes wrong in a laboratory is answered by one clear sentence, exit code 2, and nothing lost."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import edfio
import numpy as np
import pytest
from click.testing import CliRunner, Result

import sd_core.cli.plugins
import sd_core.cli.sample
import sd_core.cli.train
import sd_data.cli
from sd_core.testing.windows import write_miniature

CONFIG = """\
[data]
representation = "timeseries"
[dataset]
name = "{data}"
batch_size = 4
[model]
name = "dit"
extras = {{ patch_size = ["all", 64], layers = 1, heads = 1, head_dim = 16 }}
[training]
max_train_steps = 2
checkpoint_interval = 1
[logging]
tensorboard = false
"""
ELECTRODES = [
    *("Fp1", "Fp2", "F3", "F4", "Fz", "F7", "F8", "C3", "C4", "Cz", "P3", "P4", "Pz"),
    *("O1", "O2", "T3", "T4", "T5", "T6", "A2-A1"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_miniature(tmp_path_factory.mktemp("bad") / "data")


@pytest.fixture
def config(tmp_path: Path, data: Path) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(CONFIG.format(data=data))
    return file


def sd_train(config: Path, *arguments: object) -> Result:
    run = ["--output-dir", str(config.parent / "run"), *map(str, arguments)]
    return CliRunner().invoke(sd_core.cli.train.main, [str(config), *run])


def assert_refused(result: Result, *words: str) -> None:
    """Exit code 2 and an error without a traceback that holds these words."""
    assert result.exit_code == 2, (result.output, result.exception)
    message = result.output.partition("Error:")[2]
    assert "Traceback" not in result.output
    for word in words:
        assert word in message, message


def test_a_misspelt_key(config: Path) -> None:
    config.write_text(config.read_text().replace("batch_size", "bacth_size"))
    assert_refused(sd_train(config), "run.toml:5", "bacth_size", "batch_size")
    assert not (config.parent / "run").exists()


def test_a_table_written_twice(config: Path) -> None:
    config.write_text(config.read_text() + "[training]\nepochs = 3\n")
    assert_refused(sd_train(config), "training", "9", "14", "merge")


def test_a_missing_plugin(config: Path) -> None:
    assert_refused(sd_train(config, "--set", "model.name=unheard-of"), "unheard-of", "Installed: dit")


def test_a_broken_plugin_harms_nobody_else(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "acme_eeg-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-eeg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[signal_diffusion.v1]\nacme-eeg = acme_eeg_plugin\n")
    (info.parent / "acme_eeg_plugin.py").write_text("raise RuntimeError('licence expired')\n")
    monkeypatch.syspath_prepend(str(info.parent))
    listed = CliRunner().invoke(sd_core.cli.plugins.main, [])
    assert "licence expired" in " ".join(listed.output.split())
    assert sd_train(config).exit_code == 0
    assert_refused(
        sd_train(config, "--set", "model.name=acme", "--set", "logging.run_name=b"), "acme-eeg", "licence expired"
    )
    sys.modules.pop("acme_eeg_plugin", None)


def test_a_missing_column(config: Path) -> None:
    wanted = ["--set", "model.conditioning=classes", "--set", "dataset.class_column=diagnosis"]
    assert_refused(sd_train(config, *wanted), "diagnosis", "label", "gender")


def test_an_empty_split(config: Path, tmp_path: Path, data: Path) -> None:
    full = datasets.load_from_disk(str(data))
    half = datasets.DatasetDict(train=full["train"], validation=full["validation"].select(range(0)))
    half.save_to_disk(str(tmp_path / "half"))
    changed = ["--set", f"dataset.name={tmp_path / 'half'}", "--set", "training.eval_num_steps=1"]
    assert_refused(sd_train(config, *changed), "validation", "empty")


def test_a_checkpoint_with_a_flipped_byte(config: Path) -> None:
    assert sd_train(config).exit_code == 0
    run = config.parent / "run"
    weights = run / "checkpoint-2" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x10
    weights.write_bytes(content)
    refused = sd_train(config, "--resume-from-checkpoint", run / "checkpoint-2")
    assert_refused(refused, "checkpoint-2", "model.safetensors")
    sampled = CliRunner().invoke(sd_core.cli.sample.main, [str(run / "checkpoint-2"), "-n", "1"])
    assert_refused(sampled, "model.safetensors")
    more = sd_train(config, "--resume-from-checkpoint", "latest", "--set", "training.max_train_steps=3")
    assert more.exit_code == 0, more.output
    assert (run / "checkpoint-3").is_dir()


def recordings(folder: Path, spoil: Callable[[Any], Any] = lambda signals: signals) -> Path:
    """Three subjects as PhysioNet lays them out; `spoil` changes the last recording."""
    folder.mkdir()
    people = "".join(f"Subject{i:02d},{20 + i},F,2011,9.7,0\n" for i in range(3))
    (folder / "subject-info.csv").write_text(
        "Subject,Age,Gender,Recording year,Number of subtractions,Count quality\n" + people
    )
    for number, name in enumerate(f"Subject{i:02d}_{state}" for i in range(3) for state in (1, 2)):
        signals = 12 * np.random.default_rng(number).standard_normal((len(ELECTRODES), 1000))
        write_edf(folder / f"{name}.edf", spoil(signals) if number == 5 else signals)
    return folder


def write_edf(path: Path, signals: Any) -> None:
    rows = [
        edfio.EdfSignal(row, 125, label=f"EEG {name}", physical_dimension="uV", physical_range=(-400, 400))
        for name, row in zip(ELECTRODES, signals, strict=True)
    ]
    edfio.Edf(rows, data_record_duration=1).write(path)


def sd_data_build(source: Path, *arguments: str) -> Result:
    out = source.parent / "built"
    command = ["build", "eegmat", "--source", str(source), "-o", str(out), "--set", "window_s=4", *arguments]
    return CliRunner().invoke(sd_data.cli.main, command)


def flat(signals: Any) -> Any:
    signals[3] = 0.0
    return signals


def test_a_flat_channel(tmp_path: Path) -> None:
    source = recordings(tmp_path / "source", flat)
    assert_refused(sd_data_build(source), "Subject02_2", "F4", "flat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_nan_recording(tmp_path: Path) -> None:
    """EDF stores integers; a physical range that is not a number makes every sample of an electrode NaN."""
    source = recordings(tmp_path / "source")
    file = source / "Subject02_2.edf"
    content = bytearray(file.read_bytes())
    field = 256 + len(ELECTRODES) * 104 + 8 * 3  # the physical minimum of F4
    content[field : field + 8] = b"nan     "
    file.write_bytes(content)
    assert_refused(sd_data_build(source), "Subject02_2", "NaN", "F4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_truncated_edf(tmp_path: Path) -> None:
    source = recordings(tmp_path / "source")
    file = source / "Subject02_2.edf"
    file.write_bytes(file.read_bytes()[:-5000])
    assert_refused(sd_data_build(source), "Subject02_2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    skipped = sd_data_build(source, "--skip-bad")
    assert skipped.exit_code == 0, skipped.output
    shutil.rmtree(tmp_path / "built")
