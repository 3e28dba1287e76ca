"""Recording in chunks: codecs, one and two threads, and the layout by channels.

    python -m benchmarks.codecs [--samples 30000] [--rounds 3] [--folder /dev/shm]

Random values after a ReLU, float32, `(N, 24, 24, 16)`, appended in batches of 512 from memory:
everything that a recording does is in the time, from laying the file out to its name. Every round
has each way once; medians. Then a file of 500 layers is opened.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

import actscope
from actscope.protocol import OutputInfo
from actscope.store import chunked_writer, schema
from actscope.store.chunking import stored_as
from actscope.store.schema import RecordingPlan
from actscope.store.writers import open_writer

SHAPE = (24, 24, 16)
BATCH_SIZE = 512
WAYS = (
    ("none", "sample", 2),
    ("zstd", "sample", 1),
    ("zstd", "sample", 2),
    ("gzip", "sample", 1),
    ("gzip", "sample", 2),
    ("zstd", "channel", 2),
)


def output(path: str, shape: tuple[int, ...], order: int) -> OutputInfo:
    """A layer's output to plan for."""
    axes = ("y", "x", "channel")
    return OutputInfo(path, "Conv2D", order, 0, 0, "", shape, "float32", axes, "channels_last")


def record(path: Path, samples: int, codec: str, layout: str, threads: int) -> tuple[float, int]:
    """Seconds for one recording, and its bytes."""
    random = np.random.default_rng(0)
    rows = np.maximum(random.standard_normal((4 * BATCH_SIZE, *SHAPE), np.float32), 0)
    chunked_writer.THREADS, chunked_writer.BANDS_UNDER_WAY = threads, 2 * threads
    tensors, groups = schema.plan_layers([output("conv2d", SHAPE, 0)])
    plan = stored_as(RecordingPlan(samples, tuple(tensors), groups, "{}"), codec, layout)
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    with open_writer(path, plan) as writer:
        for first in range(0, samples, BATCH_SIZE):
            place = first % len(rows)
            writer.append([rows[place : place + min(BATCH_SIZE, samples - first)]])
        writer.complete()
    return time.perf_counter() - start, path.stat().st_size


def seconds_to_open(path: Path, layers: int) -> float:
    """The median of a few times that a file of many layers is opened."""
    outputs = [
        output(f"block_{number // 7}/conv_{number}", (4, 4, 4), number) for number in range(layers)
    ]
    tensors, groups = schema.plan_layers(outputs)
    path.unlink(missing_ok=True)
    with open_writer(path, RecordingPlan(4, tuple(tensors), groups, "{}")) as writer:
        writer.append([np.zeros((4, 4, 4, 4), np.float32)] * layers)
        writer.complete()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        actscope.open(path).close()
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Run all, interleaved, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default="/dev/shm")
    words = parser.parse_args()
    path = Path(words.folder) / "codecs.h5"
    size = words.samples * int(np.prod(SHAPE)) * 4
    found: dict[tuple[str, str, int], list[tuple[float, int]]] = {way: [] for way in WAYS}
    try:
        for _ in range(words.rounds):
            for way in WAYS:
                found[way].append(record(path, words.samples, *way))
        print(f"{'codec':7}{'layout':9}{'threads':8}{'MB/s':>7}{'smaller by':>12}")
        for (codec, layout, threads), runs in found.items():
            speed = size / median(seconds for seconds, _ in runs) / 1e6
            print(f"{codec:7}{layout:9}{threads:<8}{speed:7.0f}{size / runs[0][1]:12.2f}")
        print(f"500 layers opened in {1000 * seconds_to_open(path, 500):.0f} ms")
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
