"""Recording in chunks: codecs, one and two threads, the layout by channels, and beside a model.

    python -m benchmarks.codecs [--samples 30000] [--rounds 3] [--folder /dev/shm]

Random values after a ReLU, float32, `(N, 24, 24, 16)`, appended in batches of 512 from memory:
everything that a recording does is in the time, from laying the file out to its name. "Encoding
alone" is the codec over the same chunks in as many threads, and nothing else. Then all layers of
the ConvNet are recorded with zstd, beside capturing them into memory and encoding these arrays
alone. Every round has each way once; medians. Then a file of 500 layers is opened.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import actscope
from actscope.protocol import OutputInfo
from actscope.store import chunked_writer, schema
from actscope.store.chunking import stored_as
from actscope.store.codecs import encode
from actscope.store.schema import RecordingPlan
from actscope.store.writers import open_writer
from benchmarks import convnet

SHAPE = (24, 24, 16)
BATCH_SIZE = 512
CHUNK_BYTES = 2**20
WAYS = (
    ("none", "sample", 2),
    ("zstd", "sample", 1),
    ("zstd", "sample", 2),
    ("gzip", "sample", 1),
    ("gzip", "sample", 2),
    ("zstd", "channel", 2),
)


@dataclass(frozen=True)
class Speed:
    """How fast a way of recording was.

    Attributes:
        recorded: bytes per second, before they were encoded.
        alone: the same for encoding alone.
        smaller_by: how many times smaller the file is.
    """

    recorded: float
    alone: float
    smaller_by: float


def output(path: str, shape: tuple[int, ...], order: int) -> OutputInfo:
    """A layer's output to plan for."""
    axes = ("y", "x", "channel")
    return OutputInfo(path, "Conv2D", order, 0, 0, "", shape, "float32", axes, "channels_last")


def record(batches: Sequence[Any], path: Path, codec: str, layout: str, threads: int) -> float:
    """Seconds for one recording."""
    chunked_writer.THREADS, chunked_writer.BANDS_UNDER_WAY = threads, 2 * threads
    samples = sum(map(len, batches))
    tensors, groups = schema.plan_layers([output("conv2d", SHAPE, 0)])
    plan = stored_as(RecordingPlan(samples, tuple(tensors), groups, "{}"), codec, layout)
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    with open_writer(path, plan) as writer:
        for batch in batches:
            writer.append([batch])
        writer.complete()
    return time.perf_counter() - start


def seconds_to_encode(chunks: Sequence[Any], codec: str, threads: int) -> float:
    """Seconds for encoding alone."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        sum(pool.map(lambda chunk: len(encode(chunk, codec)), chunks))
    return time.perf_counter() - start


def in_chunks(rows: Any) -> Iterator[Any]:
    """As many rows at a time as a chunk has."""
    step = max(1, CHUNK_BYTES // rows[0].nbytes)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def measure_ways(samples: int, rounds: int, folder: Path) -> dict[tuple[str, str, int], Speed]:
    """Every way of recording, interleaved; the medians."""
    random = np.random.default_rng(0)
    rows = np.maximum(random.standard_normal((4 * BATCH_SIZE, *SHAPE), np.float32), 0)
    places = [start % len(rows) for start in range(0, samples, BATCH_SIZE)]
    batches = [rows[place : place + BATCH_SIZE] for place in places]
    chunks = [chunk for batch in batches for chunk in in_chunks(batch)]
    size = sum(batch.nbytes for batch in batches)
    path = folder / "codecs.h5"
    seconds: dict[tuple[str, str, int], list[tuple[float, float]]] = {way: [] for way in WAYS}
    smaller: dict[tuple[str, str, int], float] = {}
    for _ in range(rounds):
        for way in WAYS:
            codec, _, threads = way
            taken = record(batches, path, *way)
            smaller[way] = size / path.stat().st_size
            seconds[way].append((taken, seconds_to_encode(chunks, codec, threads)))
    path.unlink()
    found = {}
    for way, times in seconds.items():
        recorded, alone = (size / median(column) for column in zip(*times, strict=True))
        found[way] = Speed(recorded, alone, smaller[way])
    return found


def measure_beside_model(
    samples: int, rounds: int, folder: Path, codec: str = "zstd"
) -> dict[str, list[float]]:
    """Seconds to capture the ConvNet's layers, to encode them alone, and for both at once.

    The first round warms up and is left out.
    """
    model, data = convnet.build(), convnet.images(samples)
    path = folder / "codecs.h5"
    extract = partial(
        actscope.extract,
        model,
        data,
        path,
        layers="all",
        batch_size=BATCH_SIZE,
        store_inputs=False,
        codec=codec,
    )
    times: dict[str, list[float]] = {"capture": [], "encode alone": [], "extract": []}
    for _ in range(rounds + 1):
        seconds, batches = convnet.timed(lambda: convnet.capture(model, data))
        times["capture"].append(seconds)
        layers = [np.concatenate(layer) for layer in zip(*batches, strict=True)]
        del batches
        chunks = [chunk for layer in layers for chunk in in_chunks(layer)]
        times["encode alone"].append(seconds_to_encode(chunks, codec, chunked_writer.THREADS))
        del layers, chunks
        times["extract"].append(convnet.timed(lambda: extract().close())[0])
        path.unlink()
    return {name: found[1:] for name, found in times.items()}


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
    path.unlink()
    return median(times)


def print_ways(found: dict[tuple[str, str, int], Speed]) -> None:
    """A table of the ways of recording."""
    print(f"{'codec':7}{'layout':9}{'threads':8}{'MB/s':>7}{'alone':>7}{'smaller by':>12}")
    for (codec, layout, threads), speed in found.items():
        print(
            f"{codec:7}{layout:9}{threads:<8}{speed.recorded / 1e6:7.0f}{speed.alone / 1e6:7.0f}"
            f"{speed.smaller_by:12.2f}"
        )


def print_beside_model(times: dict[str, list[float]]) -> None:
    """What recording took, beside what it is made of."""
    for name, values in times.items():
        print(f"{name:14} {median(values):6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    rounds = list(zip(*times.values(), strict=True))
    ratios = [extract / (capture + alone) for capture, alone, extract in rounds]
    print(f"extract / (capture + encode alone): {median(ratios):.2f} ", end="")
    print(f"({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    """Run all, interleaved, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    words = parser.parse_args()
    print_ways(measure_ways(words.samples, words.rounds, words.folder))
    print_beside_model(measure_beside_model(words.samples, words.rounds, words.folder))
    seconds = seconds_to_open(words.folder / "codecs.h5", 500)
    print(f"500 layers opened in {1000 * seconds:.0f} ms")


if __name__ == "__main__":
    main()
