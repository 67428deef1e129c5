"""What every command does first, before torch is imported."""

from __future__ import annotations

import logging
import os


def begin() -> None:
    """Say warnings as plain sentences, and let waiting threads sleep.

    OpenMP's threads spin while they wait for each other. Where another program shares the cores, a
    spinning thread holds the core that the other thread needs: a training step on two cores with one
    other busy process took ten times as long as with sleeping threads. OMP_WAIT_POLICY overrides.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
