"""The training story on the toys: exactness, resuming, stopping, refusing."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sd_core.config.read import Run, read_run
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.sample import generate, load_run
from sd_core.run.train import train
from sd_core.run.trainer import Trainer
from sd_core.testing.toys import toy_config, toy_registry, write_toy_windows
from sd_core.windows.reading import WindowSet


@pytest.fixture(scope="module")
def registry() -> Registry:
    return toy_registry()


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_windows(tmp_path_factory.mktemp("toy") / "data")


def read(windows: Path, registry: Registry, overrides: tuple[str, ...] = (), **tables: Mapping[str, object]) -> Run:
    file = windows.parent / "run.toml"
    file.write_text(toy_config(windows, **tables))
    return read_run(file, overrides, registry)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    files = sorted(checkpoint.glob("*.safetensors"))
    return {f"{file.name}:{name}": value for file in files for name, value in load_file(file).items()}


def assert_equal_runs(one: Path, other: Path, step: int) -> None:
    left, right = weights(one / f"checkpoint-{step}"), weights(other / f"checkpoint-{step}")
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


SIX = {"max_train_steps": 6, "log_every_steps": 2, "checkpoint_interval": 3, "eval_num_steps": 4}


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ({}, {}),
        ({"conditioning": "classes"}, {"name": "muon"}),
        ({"conditioning": "attributes", "extras": {"dropout_rate": 0.3}}, {}),
    ],
)
def test_three_steps_and_three_more_are_six_to_the_bit(
    tmp_path: Path, windows: Path, registry: Registry, model: dict[str, object], optimizer: dict[str, object]
) -> None:
    run = read(windows, registry, model=model, optimizer=optimizer, training=SIX)
    train(run, tmp_path / "whole", registry=registry)
    short = read(windows, registry, model=model, optimizer=optimizer, training={**SIX, "max_train_steps": 3})
    train(short, tmp_path / "parts", registry=registry)
    train(run, tmp_path / "parts", resume_from=str(tmp_path / "parts" / "checkpoint-3"), registry=registry)
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts", 6)


def test_a_run_killed_between_checkpoints_repeats_itself(
    tmp_path: Path, windows: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read(windows, registry, training=SIX)
    train(run, tmp_path / "whole", registry=registry)

    step = Trainer.step

    def die_in_step_five(self: Trainer, *args: object) -> None:
        if self.state.progress.step == 4:
            raise KeyboardInterrupt  # what a kill leaves behind: no save, no clean-up of the metrics file
        step(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", die_in_step_five)
        with pytest.raises(KeyboardInterrupt):
            train(run, tmp_path / "killed", registry=registry)
    train(run, tmp_path / "killed", resume_from="latest", registry=registry)
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed", 6)


def test_workers_do_not_change_a_run(tmp_path: Path, windows: Path, registry: Registry) -> None:
    for workers in (0, 2):
        run = read(windows, registry, dataset={"num_workers": workers})
        train(run, tmp_path / str(workers), registry=registry)
    assert_equal_runs(tmp_path / "0", tmp_path / "2", 4)


def test_batch_and_accumulation_see_the_same_samples(tmp_path: Path, windows: Path, registry: Registry) -> None:
    losses = []
    for batch, micro in ((8, 1), (4, 2), (2, 4)):
        run = read(windows, registry, dataset={"batch_size": batch}, training={"gradient_accumulation_steps": micro})
        folder = tmp_path / f"{batch}x{micro}"
        train(run, folder, registry=registry)
        losses.append([json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=1e-5)


def test_a_signal_finishes_the_step_and_saves(
    tmp_path: Path, windows: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read(windows, registry, training={**SIX, "max_train_steps": 50, "checkpoint_interval": 50})
    step = Trainer.step

    def step_then_signal(self: Trainer, *args: object) -> None:
        step(self, *args)  # type: ignore[arg-type]
        if self.state.progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Trainer, "step", step_then_signal)
    train(run, tmp_path / "run", registry=registry)
    [saved] = (tmp_path / "run").glob("checkpoint-*")
    assert 3 <= int(saved.name.removeprefix("checkpoint-")) <= 5
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_non_finite_loss_stops_before_the_weights(
    tmp_path: Path, windows: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    signals = WindowSet.signals

    def poisoned(self: WindowSet, rows: list[int]) -> object:
        found = signals(self, rows)
        if 7 in rows and len(rows) < 12:  # fit reads all of them at once and must not see it
            found[list(rows).index(7)] = 1e38
        return found

    monkeypatch.setattr(WindowSet, "signals", poisoned)
    run = read(windows, registry, optimizer={"name": optimizer}, training={"checkpoint_interval": 1})
    with pytest.raises(SdError, match=r"not finite.*windows of this step: .*\b7\b"):
        train(run, tmp_path / "run", registry=registry)
    for checkpoint in (tmp_path / "run").glob("checkpoint-*"):
        assert all(bool(torch.isfinite(value).all()) for value in weights(checkpoint).values())


def test_a_directory_that_holds_a_run_is_not_overwritten(tmp_path: Path, windows: Path, registry: Registry) -> None:
    run = read(windows, registry)
    train(run, tmp_path / "run", registry=registry)
    with pytest.raises(SdError, match="already holds a run"):
        train(run, tmp_path / "run", registry=registry)


def test_another_run_is_not_continued(tmp_path: Path, windows: Path, registry: Registry) -> None:
    train(read(windows, registry), tmp_path / "run", registry=registry)
    other = read(windows, registry, training={"seed": 5}, optimizer={"learning_rate": 0.5})
    with pytest.raises(SdError, match=r"(?s)learning_rate.*seed|seed.*learning_rate"):
        train(other, tmp_path / "run", resume_from="latest", registry=registry)


def test_fp16_without_a_gpu_is_refused(tmp_path: Path, windows: Path, registry: Registry) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run = read(windows, registry, training={"mixed_precision": "fp16"})
    with pytest.raises(SdError, match="fp16"):
        train(run, tmp_path / "run", registry=registry)


def test_training_learns(tmp_path: Path, windows: Path, registry: Registry) -> None:
    fast = {"learning_rate": 1e-2}
    long = {"max_train_steps": 60, "log_every_steps": 20, "checkpoint_interval": 60}
    run = read(windows, registry, training=long, optimizer=fast, scheduler={"warmup_steps": 5})
    train(run, tmp_path / "run", registry=registry)
    first, *_, last = (json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").open())
    assert last < 0.8 * first


def test_samples_follow_from_their_number_only(tmp_path: Path, windows: Path, registry: Registry) -> None:
    train(read(windows, registry, model={"conditioning": "classes"}), tmp_path / "run", registry=registry)
    many = generate(load_run(tmp_path / "run", registry=registry), 5)
    small = load_run(tmp_path / "run", ("inference.batch_size=2",), registry=registry)
    few = generate(small, 3)
    assert many.signal.shape == (5, 4, 32)
    torch.testing.assert_close(torch.tensor(many.signal[:3]), torch.tensor(few.signal), rtol=1e-5, atol=1e-5)
    assert few.columns == {"label": many.columns["label"][:3]}
    other = generate(small, 3, seed=9)
    assert abs(other.signal - few.signal).max() > 1


def test_a_checkpoint_copied_elsewhere_works_alone(tmp_path: Path, registry: Registry) -> None:
    data = write_toy_windows(tmp_path / "data")
    train(read(data, registry, model={"conditioning": "attributes"}), tmp_path / "run", registry=registry)
    before = generate(load_run(tmp_path / "run", registry=registry), 2).signal
    alone = (tmp_path / "run" / "checkpoint-4").rename(tmp_path / "keepsake")
    data.rename(tmp_path / "gone")
    assert (generate(load_run(alone, registry=registry), 2).signal == before).all()
