"""Writing a recording, beside plain writes of the same bytes.

A layer of float32, about 1 GB, in batches that come fresh from memory, as from a model. A whole
recording goes from laying the file out to closing it, with its checksums and a commit a second; the
plain way reserves the file's blocks on a disk, as a recording does, writes with `os.pwrite`, and
brings all to the disk. Also the rows alone, without the laying out and reserving on either side.
"""

import os
import time
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import numpy as np

from actscope.protocol import Array
from actscope.store import schema
from actscope.store.schema import RecordingPlan
from actscope.store.writer import Writer
from benchmarks.measuring import Options, have_memory_at_hand, new_file
from benchmarks.sample_recordings import output
from benchmarks.tables import Ratio, Series, Table

TOTAL_BYTES = 10**9
FRESH_BYTES = 2**28
CASES = {
    "batches of 26 MB": ((14, 14, 512), 64),
    "batches of 4 MB": ((32, 32, 8), 128),
    "batches of 32 kB, rows of 512 bytes": ((128,), 64),
}
GOALS = dict(zip(CASES, (0.95, 0.95, 0.85), strict=True))
PLAIN, PLAIN_ROWS = "plain writes, whole", "plain writes, the rows alone"
RECORDED, RECORDED_ROWS = "a recording, whole", "a recording, the rows alone"
RATIOS = (
    Ratio("speed of the whole", (PLAIN,), (RECORDED,), at_least=GOALS),
    Ratio("speed of the rows", (PLAIN_ROWS,), (RECORDED_ROWS,)),
)


def planned(shapes: list[tuple[int, ...]], samples: int) -> RecordingPlan:
    """A recording of float32 layers."""
    outputs = [output(f"layer_{n}", shape, n) for n, shape in enumerate(shapes)]
    tensors, groups = schema.plan_layers(outputs)
    return RecordingPlan(samples, tuple(tensors), groups, "{}")


def write_plainly(
    path: Path, batches: Sequence[Array], count: int, *, is_on_disk: bool
) -> tuple[float, float]:
    """Plain writes; seconds in all, and for the rows alone."""
    start = time.perf_counter()
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    size = batches[0].nbytes
    if is_on_disk:
        os.posix_fallocate(descriptor, 0, size * count)
    ready = time.perf_counter()
    for number in range(count):
        os.pwrite(descriptor, batches[number % len(batches)], number * size)
    os.fdatasync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - start, time.perf_counter() - ready


def record(path: Path, batches: Sequence[Array], count: int) -> tuple[float, float]:
    """A recording; seconds in all, and for the rows alone."""
    start = time.perf_counter()
    with Writer(path, planned([batches[0].shape[1:]], len(batches[0]) * count)) as writer:
        ready = time.perf_counter()
        for number in range(count):
            writer.append([batches[number % len(batches)]])
        writer.commit()
    return time.perf_counter() - start, time.perf_counter() - ready


def measure(
    shape: tuple[int, ...], rows: int, total: int, rounds: int, folder: Path, *, is_on_disk: bool
) -> dict[str, list[float]]:
    """Both ways in turns; the first round, which warms up, is dropped."""
    size = 4 * rows * prod(shape)
    count = max(2, total // size)
    values = np.random.default_rng(0).random((FRESH_BYTES // size, rows, *shape), np.float32)
    batches = list(values)
    found: dict[str, list[float]] = {PLAIN: [], PLAIN_ROWS: [], RECORDED: [], RECORDED_ROWS: []}
    for _ in range(rounds + 1):
        if not is_on_disk:
            have_memory_at_hand(folder, 2 * count * size)
        with new_file(folder) as path:
            plain = write_plainly(path, batches, count, is_on_disk=is_on_disk)
        with new_file(folder) as path:
            recorded = record(path, batches, count)
        for label, seconds in zip(found, (*plain, *recorded), strict=True):
            found[label].append(seconds)
    return {label: seconds[1:] for label, seconds in found.items()}


def tables(options: Options) -> Iterator[Table]:
    """One table in memory, and one on the disk."""
    total = options.scaled(TOTAL_BYTES)
    places = {"memory": (options.folder, "in memory"), "disk": (options.disk, "on the disk")}
    for place, (folder, words) in places.items():
        found: dict[str, dict[str, list[float]]] = {}
        for name, (shape, rows) in CASES.items():
            times = measure(shape, rows, total, options.rounds, folder, is_on_disk=place == "disk")
            for label, seconds in times.items():
                found.setdefault(label, {})[name] = seconds
        series = tuple(Series(label, values) for label, values in found.items())
        title = f"Writing a recording of {total / 1e9:.1f} GB {words}"
        yield Table(f"store-{place}", title, series, RATIOS)
