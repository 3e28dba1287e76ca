"""The file itself: how fast it is written, opened and read, beside plain writes and reads.

    python -m benchmarks.store [--rounds 5] [--folders /dev/shm,/tmp] [--gigabytes 10]

Prints

- write: a whole recording, from laying it out to closing it, with its checksums and a commit a
  second, against the same bytes written with `os.pwrite` into a file reserved in the same way; in
  pairs. Also the rows alone, without the laying out and reserving on either side;
- open: a file with 500 layers;
- read: one sample, and a batch, of a large file; the batch also after the system forgot the file.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

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


def measure_writing(folder: Path, rounds: int) -> None:
    """Both, alternating, and the ratio of their speeds."""
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
        whole, rows_alone = ([r[k] / a[k] for r, a in pairs[1:]] for k in (0, 1))
        speed = median(count * size / a[0] / 1e9 for _, a in pairs[1:])
        print(
            f"  {name:28} whole {median(whole):.2f} ({min(whole):.2f} to {max(whole):.2f})   "
            f"rows alone {median(rows_alone):.2f} ({min(rows_alone):.2f} to {max(rows_alone):.2f})"
            f"   {speed:.2f} GB/s"
        )


def timed(function: Callable[[], object], times: int) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def measure_opening(folder: Path) -> None:
    """A file with 500 layers."""
    path = folder / "store-benchmark"
    plan = planned([(4, 4, 8)] * 500, 4)
    start = time.perf_counter()
    with Writer(path, plan) as writer:
        laid_out = time.perf_counter() - start
        writer.append([np.zeros((4, 4, 4, 8), np.float32)] * 500)
        writer.commit()
    seconds = timed(lambda: actscope.open(path).close(), 15)
    print(f"  500 layers: opened in {seconds * 1e3:.1f} ms, laid out in {laid_out * 1e3:.0f} ms")
    path.unlink()


def measure_reading(folder: Path, total: int) -> None:
    """One sample and one batch of a large file."""
    path = folder / "store-benchmark"
    batch = np.random.default_rng(0).normal(size=(256, *SAMPLE_SHAPE)).astype(np.float32)
    recorded(path, [batch], max(2, total // batch.nbytes))
    layer = actscope.open(path)["layer_0"]
    rows = iter(np.random.default_rng(1).integers(0, len(layer), 10_000).repeat(2))
    layer[int(len(layer) - 1)]
    pairs = []
    for row in rows:
        start = time.perf_counter()
        layer[int(row)]
        pairs.append(time.perf_counter() - start)
        if len(pairs) == 400:
            break
    print(f"  sample of {batch[0].nbytes:,} bytes, warm: {median(pairs[1::2]) * 1e3:.3f} ms")
    warm = timed(lambda: layer[0:256], 5)
    print(f"  batch of 256 samples, warm: {batch.nbytes / warm / 1e9:.1f} GB/s")
    speeds, plain = [], []
    for number in range(4):
        first = number * 256 % (len(layer) - 256)
        forget(path)
        seconds = timed(lambda first=first: layer[first : first + 256], 1)  # type: ignore[misc]
        speeds.append(batch.nbytes / seconds / 1e9)
        forget(path)
        with path.open("rb", buffering=0) as file:
            file.seek(first * batch[0].nbytes)
            plain.append(batch.nbytes / timed(lambda: file.read(batch.nbytes), 1) / 1e9)
    print(
        f"  batch of 256 samples, cold: {median(speeds):.2f} GB/s; plain read {median(plain):.2f}"
    )
    path.unlink()


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
    words = parser.parse_args()
    for place in words.folders.split(","):
        with TemporaryDirectory(dir=place) as folder:
            print(f"{place}: speed against plain writes of the same bytes")
            measure_writing(Path(folder), words.rounds)
    with TemporaryDirectory(dir=words.folders.split(",")[-1]) as folder:
        print("reading")
        measure_opening(Path(folder))
        measure_reading(Path(folder), int(words.gigabytes * 1e9))


if __name__ == "__main__":
    main()
