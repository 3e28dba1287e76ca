"""Says what a run will cost before it starts, from a few batches that run and are written."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from actscope.extraction import feed_for, prepare, record_run
from actscope.memory import peak_host_bytes
from actscope.protocol import Array
from actscope.registry import adapter_for
from actscope.request import requested
from actscope.store.codecs import NONE
from actscope.store.opening import check_recording_output
from actscope.store.schema import RecordingPlan
from actscope.store.writers import open_writer

SECONDS = 4.0
"""How long batches are timed, at most; a run that is shorter is timed whole."""

FEWEST_BATCHES = 6
"""Where they take longer than that: as many as tell a pace."""

MOST_BATCHES = 64
MOST_BYTES = 2**30
WARM_UP = 4
"""Batches after which queues are full and the pace is that of the slowest stage."""


@dataclass(frozen=True)
class Estimate:
    """What a run will cost.

    Attributes:
        samples: how many there will be, and `done` of them are in the file already.
        done: committed samples of an unfinished run, from which it would go on.
        batch_size: samples per batch.
        bytes_per_sample: what one sample takes, before it is encoded.
        bytes_total: what the finished file will have, as far as the timed batches tell.
        bytes_free: on the disk that it will stand on.
        seconds: from the call to the finished file.
        samples_per_second: once it is under way.
        memory: bytes at most of this process, which do not grow with the samples.
        plan: what the file will hold.
    """

    samples: int
    done: int
    batch_size: int
    bytes_per_sample: int
    bytes_total: int
    bytes_free: int
    seconds: float
    samples_per_second: float
    memory: int
    plan: RecordingPlan

    @property
    def fits(self) -> bool:
        """Whether the disk has room for it."""
        return self.bytes_total <= self.bytes_free


def estimate(model: Any, data: Any, path: str | Path, **words: Any) -> Estimate:
    """What `actscope.extract` with the same words will cost; nothing is written to `path`.

    A few batches go through everything that a run does, into a temporary file beside `path`, which
    is removed again. The rest is reckoned to go on at their steady pace.

    Args:
        model: as for `actscope.extract`.
        data: the same; what can be read once only is used up.
        path: the HDF5 file that would be written.
        **words: the other arguments of `actscope.extract` but `progress` and `on_plan`.

    Raises:
        ActscopeError: whatever keeps `actscope.extract` from starting.
    """
    path = Path(path)
    overwrite, samples = words.pop("overwrite", False), words.pop("samples", None)
    done = check_recording_output(path, overwrite=overwrite)
    started = time.perf_counter()
    adapter = adapter_for(model)
    feed = feed_for(adapter, model, data, samples)
    total = feed.length
    run = prepare(adapter, model, feed, requested(**words))
    rows = min(total, max(run.batch_size, _most_rows(run.plan, run.batch_size)))
    watch = _Watch()
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".actscope-", dir=path.parent) as folder:
        with open_writer(Path(folder) / "timed.h5", _part_of(run.plan, rows)) as writer:
            batches = watch.few(feed.batches(run.batch_size, 0), rows)
            record_run(run, replace(feed, batches=lambda *_: batches), writer, watch.note)
            written = writer.written
        timed = time.perf_counter() - started
        stored = sum(file.stat().st_size for file in Path(folder).iterdir())
    pace = steady_pace(watch.times, watch.rows)
    encoded = stored / written if run.plan.codec != NONE else run.plan.bytes_per_sample
    return Estimate(
        samples=total,
        done=done,
        batch_size=run.batch_size,
        bytes_per_sample=run.plan.bytes_per_sample,
        bytes_total=round(total * encoded),
        bytes_free=shutil.disk_usage(path.parent).free,
        # Of an unfinished run there may be fewer left than were timed.
        seconds=max(0.0, timed + (total - done - written) / pace),
        samples_per_second=pace,
        memory=peak_host_bytes(),
        plan=run.plan,
    )


def _most_rows(plan: RecordingPlan, batch_size: int) -> int:
    """How many rows may be timed: of as many bytes as a disk surely has, in whole batches."""
    rows = MOST_BYTES // max(1, plan.bytes_per_sample)
    return max(FEWEST_BATCHES, min(MOST_BATCHES, rows // batch_size)) * batch_size


def _part_of(plan: RecordingPlan, rows: int) -> RecordingPlan:
    """The same for fewer samples; no chunk may be longer than these."""
    tensors = tuple(
        replace(tensor, chunk=(min(tensor.chunk[0], rows), *tensor.chunk[1:]))
        if tensor.chunk
        else tensor
        for tensor in plan.tensors
    )
    ids, labels = plan.ids[:rows], None if plan.labels is None else plan.labels[:rows]
    return replace(plan, samples=rows, tensors=tensors, ids=ids, labels=labels)


def steady_pace(times: Sequence[float], rows: Sequence[int]) -> float:
    """Samples per second once a run is under way; of a run of few batches those of all.

    The last batch does not count: none is launched while it is fetched, so that it can seem to take
    no time. Of the others an even number does, since two may be under way at once.

    Args:
        times: when the run began, and when each batch was done.
        rows: the samples of each batch.
    """
    first, last = 0, len(rows)
    if last >= FEWEST_BATCHES:
        first, last = min(WARM_UP, last - FEWEST_BATCHES) + 1, last - 1
        first += (last - first) % 2
    return sum(rows[first:last]) / max(1e-9, times[last] - times[first])


class _Watch:
    """Notes when batches are done, and ends them when enough are."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]
        self.rows: list[int] = []

    def few(self, batches: Iterator[tuple[Array, ...]], rows: int) -> Iterator[tuple[Array, ...]]:
        """The first batches, of `rows` rows at most, until enough time has gone by."""
        begun = time.perf_counter()
        for count, batch in enumerate(batches, start=1):
            yield batch
            rows -= len(batch[0])
            long_enough = time.perf_counter() - begun > SECONDS and count >= FEWEST_BATCHES
            if long_enough or rows < len(batch[0]):
                return

    def note(self, rows: int) -> None:
        """A batch is done."""
        self.times.append(time.perf_counter())
        self.rows.append(rows)
