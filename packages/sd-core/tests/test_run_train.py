"""The training story on the toys: exactness, resuming, stopping, refusing."""

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

import sd_core.run.setup
import sd_core.run.train
from sd_core.config import sections
from sd_core.config.read import Run, read_run
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.sample import generate, load_run
from sd_core.run.stream import Shares
from sd_core.run.train import train
from sd_core.run.trainer import Trainer
from sd_core.testing.toys import TOY_SIGNAL, ToyDenoiser, toy_config, toy_registry, write_toy_windows
from sd_core.testing.windows import CLASSES, made_up_rows, write_miniature
from sd_core.windows.reading import WindowSet
from sd_core.windows.writing import write_windows


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
    run = read(
        windows, registry, training={**SIX, "max_train_steps": 50, "checkpoint_interval": 50, "eval_num_steps": 20}
    )
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
    assert "val_loss" not in (tmp_path / "run" / "metrics.jsonl").read_text()  # nobody waits for samples now


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


def test_packages_that_changed_since_the_checkpoint_are_named(
    tmp_path: Path,
    windows: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = read(windows, registry)
    monkeypatch.setattr(Registry, "versions", lambda _: {"sd-a": "1", "sd-gone": "2", "sd-same": "3"})
    train(run, tmp_path, registry=registry)
    train(run, tmp_path, resume_from="latest", registry=registry)
    assert "was written" not in caplog.text
    monkeypatch.setattr(Registry, "versions", lambda _: {"sd-a": "1.1", "sd-same": "3"})
    train(run, tmp_path, resume_from="latest", registry=registry)
    assert "since checkpoint-4 was written: sd-a 1 -> 1.1, sd-gone 2 -> not installed" in caplog.text


def test_a_directory_with_another_run_is_not_resumed_into(tmp_path: Path, windows: Path, registry: Registry) -> None:
    run = read(windows, registry)
    train(run, tmp_path / "a", registry=registry)
    train(run, tmp_path / "b", registry=registry)
    before = (tmp_path / "b" / "metrics.jsonl").read_bytes()
    with pytest.raises(SdError, match="holds another run"):
        train(run, tmp_path / "b", resume_from=str(tmp_path / "a" / "checkpoint-2"), registry=registry)
    assert (tmp_path / "b" / "metrics.jsonl").read_bytes() == before


def test_a_fresh_directory_inherits_the_history(tmp_path: Path, windows: Path, registry: Registry) -> None:
    train(read(windows, registry, training=SIX), tmp_path / "a", registry=registry)
    run = read(windows, registry, training=SIX)
    train(run, tmp_path / "b", resume_from=str(tmp_path / "a" / "checkpoint-3"), registry=registry)
    assert_equal_runs(tmp_path / "a", tmp_path / "b", 6)
    assert (tmp_path / "a" / "checkpoint-6").is_dir()


def test_going_back_sets_later_checkpoints_aside(tmp_path: Path, windows: Path, registry: Registry) -> None:
    run = read(windows, registry, training=SIX)
    train(run, tmp_path / "run", registry=registry)
    short = read(windows, registry, training={**SIX, "max_train_steps": 4})
    train(short, tmp_path / "run", resume_from=str(tmp_path / "run" / "checkpoint-3"), registry=registry)
    assert load_run(tmp_path / "run", registry=registry).checkpoint.name == "checkpoint-4"
    assert (tmp_path / "run" / "checkpoint-6.abandoned").is_dir()


def test_other_data_under_the_same_name_are_not_continued(tmp_path: Path, registry: Registry) -> None:
    data = write_toy_windows(tmp_path / "data")
    run = read(data, registry)
    train(run, tmp_path / "run", registry=registry)
    shutil.rmtree(data)
    write_miniature(data, TOY_SIGNAL, train=10)
    with pytest.raises(SdError, match=r"labels \(age\) are not those"):
        train(run, tmp_path / "run", resume_from="latest", registry=registry)


def test_other_signals_with_the_same_labels_are_not_continued(tmp_path: Path, registry: Registry) -> None:
    data = write_toy_windows(tmp_path / "data")
    run = read(data, registry)
    train(run, tmp_path / "run", registry=registry)
    shutil.rmtree(data)
    louder = [{**row, "signal": 2 * row["signal"]} for row in made_up_rows(12, TOY_SIGNAL)]
    write_windows(data, {"train": louder}, TOY_SIGNAL, {"corpus": "miniature"}, classes=CLASSES)
    with pytest.raises(SdError, match="train split is not the one"):
        train(run, tmp_path / "run", resume_from="latest", registry=registry)


def test_another_number_of_processes_is_refused(
    tmp_path: Path, windows: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read(windows, registry)
    train(run, tmp_path / "run", registry=registry)
    monkeypatch.setattr(sd_core.run.setup, "shares_of", lambda *_: Shares(4, processes=2))
    with pytest.raises(SdError, match=r"4 samples per optimizer step, this run would take 8"):
        train(run, tmp_path / "run", resume_from="latest", registry=registry)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Gives the accelerator the loss scaler that fp16 has on a GPU."""
    build = sd_core.run.setup.build_accelerator

    def with_scale(scale: float) -> None:
        def build_scaled(options: sections.Training) -> Accelerator:
            accelerator = build(options)
            accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
            return accelerator

        monkeypatch.setattr(sd_core.run.train, "build_accelerator", build_scaled)

    return with_scale


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_loss_scale_changes_nothing(
    tmp_path: Path, windows: Path, registry: Registry, scaled: Callable[[float], None], optimizer: str
) -> None:
    run = read(windows, registry, optimizer={"name": optimizer, "eps": 1e-4})
    train(run, tmp_path / "plain", registry=registry)
    scaled(1024.0)
    train(run, tmp_path / "scaled", registry=registry)
    one, other = (weights(tmp_path / name / "checkpoint-4") for name in ("plain", "scaled"))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_gradients_that_overflow_are_skipped_and_stop_the_run_in_the_end(
    tmp_path: Path, windows: Path, registry: Registry, scaled: Callable[[float], None], optimizer: str
) -> None:
    scaled(float("inf"))  # halved at every skip, and never small enough
    long = {"max_train_steps": 60, "checkpoint_interval": 10}
    with pytest.raises(SdError, match="overflowed 20 times in a row"):
        train(
            read(windows, registry, training=long, optimizer={"name": optimizer}, model={"extras": {"width": 64}}),
            tmp_path / "run",
            registry=registry,
        )


def test_a_full_disk_leaves_the_older_checkpoint_and_no_scraps(
    tmp_path: Path, windows: Path, registry: Registry
) -> None:
    """The real writers under a real limit: no file may grow beyond what the first ones need."""
    train(read(windows, registry), tmp_path / "run", registry=registry)
    largest = (tmp_path / "run" / "checkpoint-4" / "optimizer.pt").stat().st_size
    more = read(windows, registry, training={"max_train_steps": 6})
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, hard))
    try:
        with pytest.raises(SdError, match=r"cannot write to .*checkpoint-6.*older checkpoints are intact"):
            train(more, tmp_path / "run", resume_from="latest", registry=registry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert sorted(p.name for p in (tmp_path / "run").glob("*checkpoint*")) == ["checkpoint-2", "checkpoint-4"]
    train(more, tmp_path / "run", resume_from="latest", registry=registry)


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


def test_a_finished_run_stays_as_it_is(
    tmp_path: Path, windows: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    run = read(windows, registry)
    train(run, tmp_path / "run", registry=registry)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    train(run, tmp_path / "run", resume_from="latest", registry=registry)
    assert "already at step 4" in caplog.text
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_network_that_returns_another_shape_is_named(
    tmp_path: Path, windows: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = ToyDenoiser.forward
    monkeypatch.setattr(ToyDenoiser, "forward", lambda self, *given: forward(self, *given)[:, 0])
    with pytest.raises(ValueError, match="ToyDenoiser made"):
        train(read(windows, registry), tmp_path / "run", registry=registry)
