"""What every command does first, before torch is imported."""

from __future__ import annotations

import logging
import os


def begin() -> None:
    """Say warnings as plain sentences, and let waiting threads go to sleep soon.

    OpenMP's threads spin for milliseconds while they wait for each other. Where another program
    shares the cores, a spinning thread holds the core that the other one needs: on two cores beside
    one busy process a training step took 1.9 s, with this limit 1.1 s; where nothing else ran, .57 s
    instead of .53 s. OMP_WAIT_POLICY or GOMP_SPINCOUNT in the environment win.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
