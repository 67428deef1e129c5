"""What a run writes after its last checkpoint survives a kill, too."""

from pathlib import Path

import pytest

from sd_core.config.read import read_run
from sd_core.run.checkpoint import MANIFEST
from sd_core.run.logs import keys_behind
from sd_core.run.previews import Previews
from sd_core.run.train import METRICS, train
from sd_core.run.trainer import Trainer
from sd_core.testing.judges import judging_registry
from sd_core.testing.toys import toy_config, write_toy_windows

TRAINING = {"max_train_steps": 5, "log_every_steps": 2, "checkpoint_interval": 3, "eval_num_steps": 3}


@pytest.mark.parametrize(("owner", "place"), [(Trainer, "log"), (Previews, "show"), (Previews, "pictures")])
def test_a_run_killed_after_its_last_checkpoint_ends_as_if_nothing_had_happened(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    owner: type,
    place: str,
) -> None:
    """The last line, the last held-out loss and the last scores come after it, and may take minutes."""
    registry, file = judging_registry(), tmp_path / "run.toml"
    training, evaluation = {**TRAINING, "eval_num_windows": 4}, {"metrics": ["spread"]}
    file.write_text(toy_config(write_toy_windows(tmp_path / "data"), training=training, evaluation=evaluation))
    run = read_run(file, (), registry)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(run, whole, registry=registry)

    go_on = getattr(owner, place)

    def die_at_the_end(self: object, *args: object) -> object:
        if (killed / "checkpoint-5").exists():
            raise KeyboardInterrupt  # what a kill leaves behind
        return go_on(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, die_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            train(run, killed, registry=registry)
    assert (killed / METRICS).stat().st_size < (whole / METRICS).stat().st_size
    kept = (killed / "checkpoint-5" / MANIFEST).read_bytes()

    train(run, killed, resume_from="latest", registry=registry)
    assert (killed / METRICS).read_bytes() == (whole / METRICS).read_bytes()
    assert (killed / "samples" / "step-0000005.png").is_file()
    assert (killed / "checkpoint-5" / MANIFEST).read_bytes() == kept
    assert "already at step 5" not in caplog.text

    monkeypatch.setattr(Trainer, "evaluate", lambda _: pytest.fail("what is there was made again"))
    train(run, killed, resume_from="latest", registry=registry)
    assert "already at step 5 of 5" in caplog.text


def test_lines_that_a_crash_cut_or_spoiled_are_not_there(tmp_path: Path) -> None:
    file = tmp_path / METRICS
    assert keys_behind(file, 0) == set()
    file.write_text('{"step": 1, "loss": 2}\n{"step": 2, "val_loss": 1}\n{"step": 3, "sco')
    assert keys_behind(file, 0) == {"step", "loss", "val_loss"}
    assert keys_behind(file, 23) == {"step", "val_loss"}
    file.write_bytes(bytes(40) + b"\n")
    assert keys_behind(file, 0) == set()
