"""What the judgement of `sd-evaluate` costs, sampling apart: seconds per metric, and the peak of memory."""

from __future__ import annotations

import resource
import time

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from sd_core.judging.gather import usable_metrics
from sd_core.judging.judge import judge
from sd_core.judging.quick import quick_metrics
from sd_core.plugin import SignalInfo, Windows
from sd_core.registry import discover

NAMES = "Fp1 Fp2 F3 F4 Fz F7 F8 C3 C4 Cz P3 P4 Pz O1 O2 T3 T4 T5 T6 A2-A1"
INFO = SignalInfo(channel_names=tuple(NAMES.split()), n_samples=2048, sfreq=125.0)
PEOPLE = 20
"""Of each set of windows; nobody stands in two."""
SECONDS, GIGABYTES = 300, 4


def windows(seed: int, count: int) -> Windows:
    """Pink noise of some people in two states, at the amplitude of EEG."""
    rng = np.random.default_rng(seed)
    colour = 1 / np.sqrt(np.maximum(np.fft.rfftfreq(INFO.n_samples, 1 / INFO.sfreq), 0.5))
    signal = np.empty((count, INFO.n_channels, INFO.n_samples), np.float32)
    for row in range(count):
        loudness = 10 * np.exp(0.2 * np.random.default_rng([seed, row % PEOPLE]).standard_normal())
        white = np.fft.rfft(rng.standard_normal(signal.shape[1:]), axis=-1)
        signal[row] = loudness * np.fft.irfft(white * colour, n=INFO.n_samples, axis=-1)
    subjects = [f"{seed}-{row % PEOPLE}" for row in range(count)]
    return Windows(signal=signal, info=INFO, columns={"subject": subjects, "label": [row % 2 for row in range(count)]})


class Clock:
    """Told which metric comes next; notes what the last one took of the processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.name, self.since = "surrogates", time.process_time()

    def __call__(self, name: str) -> None:
        now = time.process_time()
        self.seconds[self.name] = now - self.since
        self.name, self.since = name, now


@click.command()
@click.option("--count", default=1000, show_default=True, help="Windows of the model, and held-out ones.")
@click.option("--train", default=1000, show_default=True, help="Training windows.")
@click.option("--slow", is_flag=True, help="Metrics too that train networks.")
def main(count: int, train: int, slow: bool) -> None:
    """Judge noise that carries labels by every metric that is installed."""
    wanted = usable_metrics(discover(), (), {})[0] if slow else quick_metrics(discover(), (), {})[0]
    real, generated, known = windows(1, count), windows(2, count), windows(3, train)
    clock, start, work = Clock(), time.perf_counter(), time.process_time()
    judge(real, generated, known, wanted, seed=0, progress=clock)
    clock("")
    total, work = time.perf_counter() - start, time.process_time() - work
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{count} generated windows of 20 x 2048 beside {count} held-out and {train} training windows")
    table = Table()
    table.add_column("metric")
    table.add_column("seconds of processor", justify="right")
    for name, seconds in [*clock.seconds.items(), ("all", work)]:
        table.add_row(name, f"{seconds:.1f}")
    Console().print(table)
    reached = "reached" if total < SECONDS and peak < GIGABYTES else "MISSED"
    print(f"{total:.0f} s ({work:.0f} s of processor), {peak:.2f} GB")
    print(f"goal: < {SECONDS} s and < {GIGABYTES} GB: {reached}\n")


if __name__ == "__main__":
    main()
