"""The file itself: how fast it is written, opened and read, beside plain writes and reads.

    python -m benchmarks.store [--rounds 5] [--folders /dev/shm,/tmp] [--gigabytes 10]

Prints

- write: a whole recording, from laying it out to closing it, with its checksums and a commit a
  second, against the same bytes written with `os.pwrite` into a file reserved in the same way; in
  pairs. Also the rows alone, without the laying out and reserving on either side;
- open: a file with 500 layers;
- read: parts of a large file, in memory against a copy of a `np.memmap`, and after the system
  forgot the file against one plain read.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import actscope
from actscope.protocol import Array, OutputInfo
from actscope.store import schema
from actscope.store.schema import RecordingPlan
from actscope.store.writer import Writer

TOTAL_BYTES = 10**9
FRESH_BYTES = 2**28
SAMPLE_SHAPE = (14, 14, 512)  # 401,408 bytes of float32
CASES = {
    "26 MB batches": ((14, 14, 512), 64),
    "4 MB batches": ((32, 32, 8), 128),
    "rows of 512 B, 32 kB batches": ((128,), 64),
}


def planned(shapes: list[tuple[int, ...]], samples: int) -> RecordingPlan:
    """A recording of float32 layers."""
    axes = ("y", "x", "channel")
    outputs = [
        OutputInfo(f"layer_{n}", "Conv2D", n, 0, 0, "", shape, "float32", axes[-len(shape) :])
        for n, shape in enumerate(shapes)
    ]
    tensors, groups = schema.plan_layers(outputs)
    return RecordingPlan(samples, tuple(tensors), groups, "{}")


def raw(path: Path, batches: Sequence[Array], count: int) -> tuple[float, float]:
    """Plain writes into a reserved file; seconds in all, and for the rows alone."""
    start = time.perf_counter()
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    size = batches[0].nbytes
    os.posix_fallocate(descriptor, 0, size * count)
    ready = time.perf_counter()
    for number in range(count):
        os.pwrite(descriptor, batches[number % len(batches)], number * size)
    os.fdatasync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - start, time.perf_counter() - ready


def recorded(path: Path, batches: Sequence[Array], count: int) -> tuple[float, float]:
    """A recording; seconds in all, and for the rows alone."""
    start = time.perf_counter()
    with Writer(path, planned([batches[0].shape[1:]], len(batches[0]) * count)) as writer:
        ready = time.perf_counter()
        for number in range(count):
            writer.append([batches[number % len(batches)]])
        writer.commit()
    return time.perf_counter() - start, time.perf_counter() - ready


@dataclass(frozen=True)
class Writing:
    """How fast a recording is written, beside plain writes of the same bytes, pair by pair.

    Attributes:
        whole: ratios of speed, from laying out to closing.
        rows: the same without laying out and reserving.
        speed: bytes per second of the recording, whole.
    """

    whole: tuple[float, ...]
    rows: tuple[float, ...]
    speed: float


def measure_writing(folder: Path, rounds: int) -> dict[str, Writing]:
    """Both, alternating, for each size of batches."""
    found = {}
    for name, (shape, rows) in CASES.items():
        size = 4 * rows * prod(shape)
        count = TOTAL_BYTES // size
        # As from a model, no batch is in the processor's cache already.
        values = np.random.default_rng(0).random((FRESH_BYTES // size, rows, *shape), np.float32)
        batches = list(values)
        pairs = []
        for _ in range(rounds + 1):
            times = []
            for way in (raw, recorded):
                times.append(way(folder / "store-benchmark", batches, count))
                (folder / "store-benchmark").unlink()
            pairs.append(times)
        whole, alone = (tuple(r[k] / a[k] for r, a in pairs[1:]) for k in (0, 1))
        found[name] = Writing(whole, alone, median(count * size / a[0] for _, a in pairs[1:]))
    return found


def print_writing(found: dict[str, Writing]) -> None:
    """A line for each size of batches."""
    for name, writing in found.items():
        whole, alone = (
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            for ratios in (writing.whole, writing.rows)
        )
        print(f"  {name:28} whole {whole}   rows alone {alone}   {writing.speed / 1e9:.2f} GB/s")


def timed(
    function: Callable[[], object], times: int, *, before: Callable[[], object] | None = None
) -> float:
    """Median seconds of a call; what is to be done before each does not count."""
    seconds = []
    for _ in range(times):
        if before is not None:
            before()
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def measure_opening(folder: Path) -> dict[str, float]:
    """Seconds to lay out and to open a file with 500 layers, in memory and not."""
    path = folder / "store-benchmark"
    plan = planned([(4, 4, 8)] * 500, 4)
    start = time.perf_counter()
    with Writer(path, plan) as writer:
        laid_out = time.perf_counter() - start
        writer.append([np.zeros((4, 4, 4, 8), np.float32)] * 500)
        writer.commit()
    warm = timed(lambda: actscope.open(path).close(), 15)
    cold = timed(lambda: actscope.open(path).close(), 5, before=lambda: forget(path))
    path.unlink()
    return {"laid out": laid_out, "opened": warm, "opened, cold": cold}


def measure_reading(folder: Path, total: int) -> dict[str, tuple[float, float]]:
    """Seconds to read parts of a large file, and those that the plainest way takes.

    That is a copy of a `np.memmap` where the file is in memory, else one read into an array; of
    random samples a copy both times.
    """
    path = folder / "store-benchmark"
    batch = np.random.default_rng(0).normal(size=(256, *SAMPLE_SHAPE)).astype(np.float32)
    recorded(path, [batch], max(2, total // batch.nbytes))
    count = actscope.open(path).samples
    random = np.random.default_rng(1)
    rows = [int(row) for row in random.integers(0, count - 256, 400)]
    few = slice(0, min(count, 4096))
    cases: dict[str, Sequence[Any]] = {
        "a sample": [slice(row, row + 1) for row in rows],
        "a batch": [slice(row, row + 256) for row in rows[:12]],
        "256 random samples": [np.sort(random.choice(count, 256, False)) for _ in range(6)],
        "a channel of 4,096 samples": [(few, 5, 5, 7), (few, 1, 2, 3), (few, 8, 9, 10)],
    }
    found = {f"{name}, warm": _in_memory(path, keys) for name, keys in cases.items()}
    for name in ("a sample", "a batch", "256 random samples"):
        found[f"{name}, cold"] = _not_in_memory(path, cases[name][:8])
    path.unlink()
    return found


def _in_memory(path: Path, keys: Sequence[Any]) -> tuple[float, float]:
    layer = actscope.open(path)["layer_0"]
    mapped = np.memmap(path, np.float32, "r", layer._tensor.offset, layer.shape)
    return _paired(lambda key: layer[key], lambda key: np.array(mapped[key]), keys)


def _not_in_memory(path: Path, keys: Sequence[Any]) -> tuple[float, float]:
    recording = actscope.open(path)
    offset, shape = recording["layer_0"]._tensor.offset, recording["layer_0"].shape

    def plainly(key: Any) -> Array:
        if isinstance(key, slice):
            return _read_at_once(path, offset + key.start * 4 * prod(shape[1:]), shape[1:], key)
        return np.array(np.memmap(path, np.float32, "r", offset, shape)[key])

    # The layer anew each time: the system keeps what is mapped.
    return _paired(lambda key: recording["layer_0"][key], plainly, keys, lambda: forget(path))


def _read_at_once(path: Path, offset: int, shape: tuple[int, ...], rows: slice) -> Array:
    values = np.empty((rows.stop - rows.start, *shape), np.float32)
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        left = memoryview(values).cast("B")
        while len(left):
            left = left[file.readinto(left) or len(left) :]
    return values


def _paired(
    ours: Callable[[Any], Any],
    plain: Callable[[Any], Any],
    parts: Sequence[Any],
    before: Callable[[], object] | None = None,
) -> tuple[float, float]:
    """Median seconds of both ways to read each part; of what is in memory the third time."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for part in parts:
        for times, way in zip(seconds, (ours, plain), strict=True):
            if before is None:
                _ = way(part), way(part)
            times.append(timed(partial(way, part), 1, before=before))
    return median(seconds[0]), median(seconds[1])


def print_reading(opening: dict[str, float], reading: dict[str, tuple[float, float]]) -> None:
    """A line for each."""
    words = ", ".join(f"{name} in {seconds * 1e3:.1f} ms" for name, seconds in opening.items())
    print(f"  500 layers: {words}")
    for name, (ours, plain) in reading.items():
        size = 4 * prod(SAMPLE_SHAPE) * (1 if "a sample" in name else 256)
        speed = "" if "channel" in name else f", {size / ours / 1e9:.2f} GB/s"
        print(f"  {name:28} {ours * 1e3:8.3f} ms{speed}; plainly {plain * 1e3:.3f} ms")


def forget(path: Path) -> None:
    """Let the system drop the file's pages."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def main() -> None:
    """Measure in each folder; read where files are real."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folders", default="/dev/shm,/tmp")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--reading-alone", action="store_true")
    words = parser.parse_args()
    for place in [] if words.reading_alone else words.folders.split(","):
        with TemporaryDirectory(dir=place) as folder:
            print(f"{place}: speed against plain writes of the same bytes")
            print_writing(measure_writing(Path(folder), words.rounds))
    with TemporaryDirectory(dir=words.folders.split(",")[-1]) as folder:
        print("reading")
        opening = measure_opening(Path(folder))
        print_reading(opening, measure_reading(Path(folder), int(words.gigabytes * 1e9)))


if __name__ == "__main__":
    main()
