"""The page this system was ordered by: its command lines and snippets work here as written.

The lists below are the page's own; nothing is read from elsewhere. Commands run in a copy of config/
with the data root at miniature data sets; only sizes are overridden. Rows whose network is not built
yet are expected to fail, strictly: building the network turns them into failures until it stands in BUILT.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from sd_core.plugin import SignalInfo
from sd_core.windows.writing import write_windows
from sd_sd35.testing import make_tiny_pretrained

ROOT = Path(__file__).resolve().parent.parent
BUILT = {"dit", "hourglass", "localmamba", "sd35"}
MODULE = "signal_diffusion.training.diffusion"
TRAINING = """
uv run python -m signal_diffusion.training.diffusion config/diffusion/dit-db-only.toml --output-dir runs/dit-db-only
uv run python -m signal_diffusion.training.diffusion config/diffusion/dit-db-iq.toml --output-dir runs/dit-db-iq
uv run python -m signal_diffusion.training.diffusion config/diffusion/dit-db-polar.toml --output-dir runs/dit-db-polar
uv run python -m signal_diffusion.training.diffusion config/diffusion/dit-timeseries.toml --output-dir runs/dit-timeseries
uv run python -m signal_diffusion.training.diffusion config/diffusion/hourglass-db-only.toml --output-dir runs/hourglass-db-only
uv run python -m signal_diffusion.training.diffusion config/diffusion/hourglass-db-iq.toml --output-dir runs/hourglass-db-iq
uv run python -m signal_diffusion.training.diffusion config/diffusion/hourglass-db-polar.toml --output-dir runs/hourglass-db-polar
uv run python -m signal_diffusion.training.diffusion config/diffusion/hourglass-timeseries.toml --output-dir runs/hourglass-timeseries
uv run python -m signal_diffusion.training.diffusion config/diffusion/localmamba-db-only.toml --output-dir runs/localmamba-db-only
uv run python -m signal_diffusion.training.diffusion config/diffusion/localmamba-db-iq.toml --output-dir runs/localmamba-db-iq
uv run python -m signal_diffusion.training.diffusion config/diffusion/localmamba-db-polar.toml --output-dir runs/localmamba-db-polar
uv run python -m signal_diffusion.training.diffusion config/diffusion/localmamba-timeseries.toml --output-dir runs/localmamba-timeseries
uv run python -m signal_diffusion.training.diffusion config/diffusion/sd35-db-only.toml --output-dir runs/sd35-db-only
uv run python -m signal_diffusion.training.diffusion config/diffusion/sd35-db-iq.toml --output-dir runs/sd35-db-iq
uv run python -m signal_diffusion.training.diffusion config/diffusion/sd35-db-polar.toml --output-dir runs/sd35-db-polar
uv run python -m signal_diffusion.training.diffusion config/diffusion/sd35-timeseries.toml --output-dir runs/sd35-timeseries
""".strip().splitlines()  # noqa: E501 - command lines as they are typed

CONDITIONAL = [
    (
        {"conditioning": '"caption"', "caption_column": '"description"'},
        "uv run python -m signal_diffusion.training.diffusion config/diffusion/sd35-db-only.toml \\\n"
        "    --output-dir runs/sd35-db-only-caption",
    ),
    (
        {"conditioning": '"classes"', "num_classes": "5"},
        "uv run python -m signal_diffusion.training.diffusion config/diffusion/hourglass-db-only.toml \\\n"
        "    --output-dir runs/hourglass-db-only-class",
    ),
]
RESUME = (
    "uv run python -m signal_diffusion.training.diffusion config/diffusion/dit-db-only.toml \\\n"
    "    --output-dir runs/dit-db-only \\\n"
    "    --resume-from-checkpoint runs/dit-db-only/checkpoint-1000"
)
TENSORBOARD = "tensorboard --logdir runs/diffusion/tensorboard/"
CUSTOMISATION = """\
# Change batch size (limited by GPU memory)
[dataset]
batch_size = 32  # Reduce for smaller GPU, increase for larger GPU

# Change number of training epochs
[training]
epochs = 50  # Default varies by config (1-200)

# Enable CFG dropout for classifier-free guidance preparation
[model.extras]
cfg_dropout = 0.1  # 0.0 = disabled, 0.1-0.2 = typical

# Change checkpoint frequency
[training]
checkpoint_interval = 500  # Save every N steps
eval_num_steps = 500  # Evaluate every N steps

# Adjust mixed precision (memory/speed tradeoff)
[training]
mixed_precision = "bf16"  # Options: "no", "fp16", "bf16"
"""
DATA_ROOT = "/data/data/signal-diffusion"
PATHS = {
    "db-only": "/data/data/signal-diffusion/processed/reweighted_meta_dataset_log_n2048_fs125",
    "db-iq": "/data/data/signal-diffusion/processed-iq/reweighted_meta_dataset_log_n2048_fs125",
    "db-polar": "/data/data/signal-diffusion/processed-polar/reweighted_meta_dataset_log_n2048_fs125",
    "timeseries": "/data/data/signal-diffusion/processed/reweighted_timeseries_meta_dataset_n2048_fs125",
}
KEY_PARAMETERS = {  # learning rate, precision, batch
    "dit": (1e-4, "bf16", 32),
    "hourglass": (1e-4, "bf16", 64),
    "localmamba": (3e-4, "bf16", 64),
    "sd35": (5e-5, "bf16", 16),
}
TINY = {
    "dit": ["model.extras.layers=1", "model.extras.heads=1", "model.extras.head_dim=8"],
    "hourglass": [
        "model.extras.depths=[1,1]",
        "model.extras.widths=[16,32]",
        "model.extras.head_dim=16",
        "model.extras.mapping_width=16",
    ],
    "localmamba": [
        "model.extras.depths=[1,1]",
        "model.extras.widths=[16,32]",
        "model.extras.d_state=4",
        "model.extras.mapping_width=16",
    ],
    "sd35": ["model.pretrained=tiny-sd3"],
}
SHORT = [
    "training.eval_num_examples=2",
    "training.eval_num_pictures=1",
    "inference.denoising_steps=2",
    "training.max_train_steps=2",
    "training.checkpoint_interval=2",
    "training.log_every_steps=1",
]
MINIATURE = ["dataset.batch_size=2", "dataset.eval_batch_size=2"]


def words(line: str) -> list[str]:
    """The arguments of a training command, with what stands before them checked and taken off."""
    typed = shlex.split(line.replace("\\\n", " "))
    assert typed[:5] == ["uv", "run", "python", "-m", MODULE]
    return typed[5:]


def network(line: str) -> str:
    """The network a training command is about."""
    return Path(words(line)[0]).stem.split("-")[0]


def row(line: str, *values: Any) -> Any:
    """A test case; expected to fail, strictly, while its network is not built."""
    name = network(line)
    marks = [] if name in BUILT else [pytest.mark.xfail(strict=True, reason=f"{name} is not built yet")]
    return pytest.param(*values, line, marks=marks, id=Path(words(line)[-1]).name)


def sets(*overrides: str) -> list[str]:
    """Overrides as they are typed."""
    return [word for override in overrides for word in ("--set", override)]


def tiny(line: str) -> list[str]:
    """The overrides that make a training of this command a matter of seconds."""
    patch = ["model.extras.patch_size=[16,16]"] if "timeseries" not in line else ["model.extras.patch_size=['all',64]"]
    patch = [] if network(line) == "sd35" else patch  # SD3's patches are its own
    return sets(*MINIATURE, *SHORT, *TINY[network(line)], *patch)


def train(arguments: list[str]) -> Result:
    """Run the page's module in this process."""
    return CliRunner().invoke(import_module(MODULE).main, arguments, catch_exceptions=False)


def write_window_set(folder: Path) -> None:
    """Eight labelled windows of 20 electrodes x 2048 samples per split, subjects apart."""
    rng = np.random.default_rng(0)
    info = SignalInfo(channel_names=tuple(f"E{number:02d}" for number in range(20)), n_samples=2048, sfreq=125.0)

    def rows(split: str) -> Iterator[dict[str, Any]]:
        for number in range(8):
            yield {
                "signal": rng.normal(0, 20, (20, 2048)).cumsum(axis=1).astype(np.float32) / 20,
                "subject": f"{split}-{number // 2}",
                "corpus": "miniature",
                "gender": "FM"[number % 2],
                "health": ("H", "PD")[number // 4],
                "age": 30.0 + number,
                "label": ("rest", "arithmetic")[number % 2],
                "caption": "resting EEG",
                "description": "resting EEG of an adult",
            }

    write_windows(folder, {split: rows(split) for split in ("train", "validation", "test")}, info, {})


def write_picture_set(folder: Path, channels: int = 3) -> None:
    """Pictures as the old pipeline rendered them: PNG files and a metadata.csv in each split's folder."""
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        (folder / split).mkdir(parents=True)
        rows = ["file_name,gender,health,age,caption"]
        for number in range(8):
            name = f"{split}-{number}.png"
            pixels = rng.integers(0, 256, (64, 64, channels), dtype=np.uint8).squeeze()
            Image.fromarray(pixels).save(folder / split / name)
            rows.append(f"{name},{'FM'[number % 2]},{'H' if number % 4 else 'PD'},{30 + number},an EEG spectrogram")
        (folder / split / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four data sets where the page has them: windows, but db-polar as rendered pictures."""
    root = tmp_path_factory.mktemp("data")
    for representation, path in PATHS.items():
        write = write_picture_set if representation == "db-polar" else write_window_set
        write(root / Path(path).relative_to(DATA_ROOT))
    return root


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for the published model, which no test can download: the same folders, tiny."""
    return make_tiny_pretrained(tmp_path_factory.mktemp("hub") / "sd3")


@pytest.fixture
def workplace(tmp_path: Path, data_root: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the shipped configs in it."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "tiny-sd3").symlink_to(pipeline)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGNAL_DIFFUSION_DATA", str(data_root))
    return tmp_path


def edited(config: Path, part: dict[str, Any]) -> None:
    """Change keys of a config file as a user does: the line that is there, or a new one in the table."""
    text = config.read_text("utf-8")
    for table, keys in part.items():
        for key, value in keys.items():
            header = f"[{table}]\n"
            before, after = text.split(header) if header in text else (text + "\n", "")
            body, bracket, rest = after.partition("\n[")
            body = re.sub(rf"^{key} = .*\n?", "", body, flags=re.M)
            text = f"{before}{header}{key} = {value}\n{body}{bracket}{rest}"
    config.write_text(text, encoding="utf-8")


def curves(folder: Path) -> dict[str, list[str]]:
    """What `tensorboard --logdir` shows: the runs it finds and their scalar tags."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    events = EventMultiplexer().AddRunsFromDirectory(str(folder))
    events.Reload()
    return {run: tags["scalars"] for run, tags in events.Runs().items()}


def test_the_page_has_every_network_and_representation() -> None:
    pairs = {Path(words(line)[0]).stem for line in TRAINING}
    assert pairs == {f"{model}-{representation}" for model in KEY_PARAMETERS for representation in PATHS}


@pytest.mark.parametrize("line", [row(line) for line in TRAINING])
def test_a_training_command_trains_and_is_seen_by_tensorboard(line: str, workplace: Path) -> None:
    done = train(words(line) + tiny(line))
    assert done.exit_code == 0, done.output
    run = Path(words(line)[-1])
    assert (run / "checkpoint-2" / "model.safetensors").exists()
    assert len((run / "metrics.jsonl").read_text("utf-8").splitlines()) >= 2
    shown = curves(Path(shlex.split(TENSORBOARD)[-1]))
    assert any("loss" in tag for tag in shown[run.name]), shown


@pytest.mark.parametrize(
    ("representation", "write"),
    [("db-only", partial(write_picture_set, channels=1)), ("db-iq", write_picture_set), ("db-polar", write_window_set)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_set_may_hold_pictures_or_windows(
    representation: str, write: Callable[[Path], None], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other form of the set than the one above."""
    write(workplace / "data" / Path(PATHS[representation]).relative_to(DATA_ROOT))
    monkeypatch.setenv("SIGNAL_DIFFUSION_DATA", str(workplace / "data"))
    (line,) = [line for line in TRAINING if line.endswith(f"runs/dit-{representation}")]
    done = train(words(line) + tiny(line))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("line", [row(line) for line in TRAINING])
def test_a_shipped_config_says_what_the_page_says(line: str) -> None:
    config = tomllib.loads((ROOT / words(line)[0]).read_text("utf-8"))
    representation = config["data"]["representation"]
    rate, precision, batch = KEY_PARAMETERS[network(line)]
    root = tomllib.loads((ROOT / "config/default.toml").read_text("utf-8"))["settings"]["data_root"]
    assert f"{root}/{config['dataset']['name']}" == PATHS[representation]
    assert config["optimizer"]["learning_rate"] == rate
    assert config["training"]["mixed_precision"] == precision
    assert config["dataset"]["batch_size"] == batch
    assert 1 <= config["training"]["epochs"] <= 200
    assert "cfg_dropout" in config["model"]["extras"]
    assert config["logging"]["log_dir"] == shlex.split(TENSORBOARD)[-1].rstrip("/")


SIZES: dict[str, dict[str, Any]] = {
    "dit": {"layers": 12, "head_dim": 72, "heads": 16},
    "hourglass": {"depths": [2, 2, 3], "widths": [64, 128, 256]},
    "localmamba": {"depths": [2, 2, 6, 2], "widths": [64, 128, 256, 512]},
}


@pytest.mark.parametrize("representation", PATHS)
@pytest.mark.parametrize("name", SIZES)
def test_a_network_has_the_size_of_the_page(name: str, representation: str) -> None:
    config = tomllib.loads((ROOT / f"config/diffusion/{name}-{representation}.toml").read_text("utf-8"))
    assert SIZES[name].items() <= config["model"]["extras"].items()


def test_the_customisation_block_as_pasted_is_answered_with_its_lines(workplace: Path) -> None:
    config = workplace / "config/diffusion/dit-db-only.toml"
    config.write_text(CUSTOMISATION, encoding="utf-8")
    done = train([str(config), "--output-dir", "runs/pasted"])
    numbers = [n for n, text in enumerate(CUSTOMISATION.splitlines(), 1) if text == "[training]"]
    assert done.exit_code == 2
    assert "merge them" in done.output
    assert all(re.search(rf"\b{number}\b", done.output) for number in numbers[:2]), done.output
    assert not Path("runs/pasted").exists()


OTHERWISE = {
    "batch_size": "7",
    "epochs": "3",
    "cfg_dropout": "0.3",
    "checkpoint_interval": "7",
    "eval_num_steps": "7",
    "mixed_precision": '"no"',
}
"""What a file says before the edit, so that an edit which is not read is seen."""
PARTS = re.split(r"\n(?=# )", CUSTOMISATION)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.splitlines()[0].lstrip("# "))
def test_each_edit_of_the_block_on_its_own_is_taken(part: str, workplace: Path) -> None:
    line = TRAINING[0]
    (table,) = re.findall(r"^\[(.*)\]$", part, re.M)
    keys: dict[str, str] = dict(re.findall(r"^(\w+) = (\S+)", part, re.M))
    assert keys.keys() <= OTHERWISE.keys()
    edited(workplace / words(line)[0], {table: {key: OTHERWISE[key] for key in keys}})
    edited(workplace / words(line)[0], {table: keys})
    done = train([*words(line), "--dry-run", *sets(*TINY["dit"], "model.extras.patch_size=[16,16]")])
    assert done.exit_code == 0, done.output
    for key, value in keys.items():
        assert re.search(rf"{key} = {re.escape(value)}(?!\S)", done.output), done.output


@pytest.mark.parametrize(("keys", "line"), [row(line, keys) for keys, line in CONDITIONAL])
def test_a_conditional_command_trains_after_its_edit(keys: dict[str, str], line: str, workplace: Path) -> None:
    _make_conditional(workplace / words(line)[0], keys)
    done = train(words(line) + tiny(line))
    assert done.exit_code == 0, done.output


def test_the_class_edit_trains_dit(workplace: Path) -> None:
    line = TRAINING[0]
    _make_conditional(workplace / words(line)[0], CONDITIONAL[1][0])
    done = train(words(line) + tiny(line))
    assert done.exit_code == 0, done.output


def _make_conditional(config: Path, keys: dict[str, str]) -> None:
    """The page names the keys; `conditioning` stands in [model], columns and counts in [dataset]."""
    conditioning = {"conditioning": keys["conditioning"]}
    edited(config, {"model": conditioning, "dataset": {k: v for k, v in keys.items() if k != "conditioning"}})


def test_the_resume_command_goes_on_from_that_checkpoint(workplace: Path) -> None:
    first = TRAINING[0]
    run = Path(words(first)[-1])
    assert train(words(first) + tiny(first)).exit_code == 0
    # A thousand steps take a minute; the checkpoint of the second one serves under the page's name.
    (run / "checkpoint-2").rename(run / "checkpoint-1000")

    done = train([*words(RESUME), *tiny(first), *sets("training.max_train_steps=4")])
    assert done.exit_code == 0, done.output
    assert (run / "checkpoint-4").is_dir()
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]


def test_the_module_runs_as_a_program(workplace: Path) -> None:
    command = [sys.executable, "-m", MODULE, "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "--output-dir" in shown
    assert "--resume-from-checkpoint" in shown
