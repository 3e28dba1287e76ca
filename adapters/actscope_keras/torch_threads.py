"""PyTorch on a CPU: how many threads a pass takes beside those that read, encode and write.

PyTorch's threads wait for each other by spinning. Where they are as many as the cores and others
want these as well, each operation lasts until the slowest of its threads was given a core, while
the rest keep theirs from those others. How much that costs differs from run to run, so it is tried.
"""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

WARM_UP = 4
"""Batches after which queues are full."""

MEASURED = 8
"""Batches of which a pace is told."""

DISTURBED = 0.7
"""A pass that has a core for less of its time shares it with others; else fewer are not tried."""

HOPELESS = 1.5
"""Where batches take so much longer, no more are tried."""

SOONEST = 3
"""Batches after which that is told."""

PAUSE = 1.0
"""Seconds without a pass after which another run begins, or the others are far behind anyway."""


@dataclass(frozen=True)
class Took:
    """What a batch took.

    Attributes:
        seconds: from its start to that of the next.
        on_core: the share of the pass's time for which it had a core.
    """

    seconds: float
    on_core: float


Choice = Generator[int, Took, None]


class ThreadsOfPass:
    """Sets PyTorch's threads for each pass of a run, and sets them back after it."""

    def __init__(self) -> None:
        self._choice: Choice
        self._started = self._on_core = 0.0
        self._ended = -math.inf

    @contextmanager
    def set(self) -> Iterator[None]:
        """For one pass, in the thread that runs it."""
        started = time.perf_counter()
        if started - self._ended > PAUSE:
            self._choice = choose(torch.get_num_threads())
            threads = next(self._choice)
        else:
            threads = self._choice.send(Took(started - self._started, self._on_core))
        self._started, on_core = started, time.thread_time()
        with _threads(threads):
            yield
        self._ended = time.perf_counter()
        self._on_core = (time.thread_time() - on_core) / (self._ended - started)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if count >= before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose(threads: int) -> Choice:
    """The threads of each batch, given what the last one took: half of them as long as it pays."""
    for _ in range(WARM_UP):
        yield threads
    took = yield from _measure(threads)
    while threads > 1 and took.on_core < DISTURBED:
        fewer = threads // 2
        tried = yield from _measure(fewer, HOPELESS * took.seconds)
        if tried.seconds > took.seconds:
            break
        threads, took = fewer, tried
    while True:
        yield threads


def _measure(threads: int, limit: float = float("inf")) -> Generator[int, Took, Took]:
    """What a batch takes with so many threads; told sooner where it is more than a limit."""
    yield threads  # began under the choice before
    found: list[Took] = []
    while len(found) < MEASURED:
        found.append((yield threads))
        if len(found) >= SOONEST and sum(one.seconds for one in found) > limit * len(found):
            break
    seconds = sum(one.seconds for one in found) / len(found)
    return Took(seconds, sum(one.on_core for one in found) / len(found))
