"""What only watches a training must not end it, nor change a bit of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from sd_core.errors import SdError

T = TypeVar("T")
_log = logging.getLogger(__name__)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back afterwards what strangers' code may change for the whole process.

    Random states of Python, NumPy and torch; and the settings of torch that choose how numbers are
    computed: another number of threads sums in another order.
    """
    python, numpy, devices = random.getstate(), np.random.get_state(), _cuda_devices()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    exact, kind = torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype()
    benchmark = torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(exact)
        torch.set_default_dtype(kind)
        torch.backends.cudnn.benchmark = benchmark


def _cuda_devices() -> list[int]:
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


@dataclass
class Harmless:
    """Tries things whose failure is worth a sentence and nothing more; says each of them once."""

    said: set[str] = field(default_factory=set)
    """What has failed already."""

    def attempt(self, what: str, story: Callable[[], T]) -> T | None:
        """The result of `story`; None where it failed, whatever it raised.

        Args:
            what: Begins the sentence: "the score 'kurtosis'".
            story: Must not take part in a collective of several processes: the others would wait.
        """
        try:
            with undisturbed():
                return story()
        except Exception as error:  # noqa: BLE001 - a stranger's metric may raise anything, and the training goes on
            self._say(what, error)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # of a story that ran out of memory; its tensors are gone by now
        return None

    def _say(self, what: str, error: Exception) -> None:
        if what in self.said:
            return
        self.said.add(what)
        cause = str(error).strip().splitlines()
        kind = "" if isinstance(error, SdError) else f"{type(error).__name__}: "
        _log.warning(
            "%s failed, and the training goes on without it: %s%s", what, kind, cause[0] if cause else "no message"
        )


__all__ = ["Harmless", "undisturbed"]
