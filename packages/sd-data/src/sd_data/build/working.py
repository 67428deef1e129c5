"""Recordings through one process or several, in order."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from sd_core.plugin import SdError
from sd_data.build.recordings import Outcome, Recording


@contextmanager
def pool_of(workers: int) -> Iterator[Executor | None]:
    """So many processes; None for one, which is this one."""
    if workers == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def outcomes(
    process: Callable[[Recording, float], Outcome],
    recordings: Sequence[Recording],
    overlap: float,
    *,
    pool: Executor | None,
    workers: int,
) -> Iterator[Outcome]:
    """Outcomes in the order of the recordings.

    Raises:
        SdError: the system ended a worker.
    """
    if pool is None:
        yield from (process(recording, overlap) for recording in recordings)
        return
    # Two recordings a worker are under way, so memory does not grow with the corpus.
    waiting: deque[Future[Outcome]] = deque()
    try:
        for recording in recordings:
            waiting.append(pool.submit(process, recording, overlap))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SdError("the system ended a worker, most often for want of memory: use fewer --workers") from error


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
