"""Random batches of 20 x 2048 windows: the memory-mapped reader against `datasets` in torch format."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import datasets
import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import interleaved, show
from sd_core.plugin import SignalInfo
from sd_core.windows.opening import open_split
from sd_core.windows.reading import WindowSet
from sd_core.windows.writing import write_windows

INFO = SignalInfo(channel_names=tuple(f"E{number:02d}" for number in range(20)), n_samples=2048, sfreq=125.0)


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Windows of noise with a few labels."""
    rng = np.random.default_rng(0)
    for number in range(count):
        signal = rng.standard_normal((20, 2048), dtype=np.float32)
        yield {"signal": signal, "subject": str(number // 8), "label": "rest"}


def read(fetch: Callable[[list[int]], Tensor], batches: list[list[int]]) -> Callable[[], float]:
    """A pass over these batches that touches every one."""

    def run() -> float:
        return sum(float(fetch(batch)[0, 0, 0]) for batch in batches)

    return run


@click.command()
@click.option("--windows", default=1024, show_default=True, help="Windows in the split (160 KiB each).")
@click.option("--batch", default=32, show_default=True)
@click.option("--rounds", default=7, show_default=True)
def main(windows: int, batch: int, rounds: int) -> None:
    """Time one pass over the split in a random order, from the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "windows"
        write_windows(path, {"train": rows(windows)}, INFO, {})
        ours = open_split(path, "train")
        assert isinstance(ours, WindowSet)
        theirs = datasets.load_from_disk(str(path))["train"].select_columns("signal").with_format("torch")
        order = np.random.default_rng(1).permutation(windows).tolist()
        batches = [order[start : start + batch] for start in range(0, windows, batch)]
        assert torch.equal(torch.from_numpy(ours.signals(batches[0])), theirs[batches[0]]["signal"])
        ways = {
            "sd_core.windows": read(lambda indices: torch.from_numpy(ours.signals(indices)), batches),
            "datasets, torch format": read(lambda indices: theirs[indices]["signal"], batches),
        }
        medians = interleaved(ways, rounds, warmup=1)
    title = f"one pass over {windows} windows of 20 x 2048 in batches of {batch}, random order"
    show(title, medians, unit="windows", work=windows, goal=8)


if __name__ == "__main__":
    main()
