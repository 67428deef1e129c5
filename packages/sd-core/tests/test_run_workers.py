"""A training whose loading worker is killed, as where memory runs out, ends; it does not wait for ever."""

import subprocess
import sys
from pathlib import Path

from sd_core.testing.toys import toy_config, write_toy_windows

STORY = """
import os, signal, sys
from multiprocessing import active_children
from pathlib import Path
from sd_core.config.read import read_run
from sd_core.run.train import train
from sd_core.run.trainer import Trainer
from sd_core.testing.toys import toy_registry

step = Trainer.step

def step_and_kill(self, *args):
    step(self, *args)
    if self.state.progress.step == 5:
        os.kill(active_children()[0].pid, signal.SIGKILL)

Trainer.step = step_and_kill
folder, registry = Path(sys.argv[1]), toy_registry()
train(read_run(folder / "run.toml", (), registry), folder / "run", registry=registry)
"""


def test_a_killed_worker_ends_the_training_instead_of_hanging_it(tmp_path: Path) -> None:
    data = write_toy_windows(tmp_path / "data")
    training = {"max_train_steps": 100_000, "checkpoint_interval": 100_000, "eval_strategy": "no"}
    config = toy_config(data, dataset={"num_workers": 2}, training=training)
    (tmp_path / "run.toml").write_text(config)
    done = subprocess.run([sys.executable, "-c", STORY, str(tmp_path)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"Error" in done.stderr
