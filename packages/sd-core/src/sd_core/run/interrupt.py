"""Stopping politely: the first signal ends the step and saves, the second quits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


_Handler = Callable[[int, FrameType | None], Any] | int | None


class StopRequest:
    """Whether a signal asked this process to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Within this context SIGINT, SIGTERM and SIGUSR1 set the request; a second one acts as usual."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        _restore(before)

    for number in STOP_SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        _restore(before)


def _restore(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
