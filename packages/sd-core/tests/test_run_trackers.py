from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sd_core.config.read import read_run
from sd_core.options import NoOptions
from sd_core.run.trackers import TensorBoard
from sd_core.testing.toys import toy_config, toy_registry


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def points(folder: Path) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(folder).Scalars("train/loss")]


def write(folder: Path, values: dict[int, float], resumed_at: int | None = None) -> None:
    tracker = TensorBoard(NoOptions(), folder)
    if resumed_at is not None:
        tracker.resume(resumed_at)
    for step, value in values.items():
        tracker.scalars({"train/loss": value}, step)
    tracker.close()


def test_a_resumed_run_hides_what_it_will_write_again(tmp_path: Path) -> None:
    write(tmp_path, {1: 10.0, 2: 20.0, 3: 30.0})
    write(tmp_path, {3: 31.0, 4: 41.0}, resumed_at=2)
    assert points(tmp_path) == [(1, 10.0), (2, 20.0), (3, 31.0), (4, 41.0)]


def test_a_fresh_run_hides_an_older_one_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path, {1: 10.0, 2: 20.0})
    write(tmp_path, {1: 11.0})
    assert points(tmp_path) == [(1, 11.0)]


def test_pictures_arrive(tmp_path: Path) -> None:
    tracker = TensorBoard(NoOptions(), tmp_path)
    tracker.images("generated", torch.rand(2, 3, 8, 8), 5)
    tracker.close()
    assert events(tmp_path).Tags()["images"] == ["generated/0", "generated/1"]


def test_the_project_of_the_config_reaches_weights_and_biases(tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(toy_config(tmp_path, logging={"wandb_project": "sleep"}))
    assert read_run(config, (), toy_registry()).tracker_options["wandb"].model_dump() == {"wandb_project": "sleep"}
