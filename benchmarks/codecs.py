"""Recording in chunks: codecs in one and two threads, by channels, and beside a model.

Random values after a ReLU, float32, `(N, 24, 24, 16)`, appended in batches of 512 from memory:
everything that a recording does is in the time, from laying the file out to its name. "Encoding
alone" is the codec over the same chunks in as many threads, and nothing else. Then all layers of
the ConvNet are recorded with zstd, beside capturing them into memory, encoding these arrays alone
and writing what that gives, per backend in a process of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actscope.store import chunked_writer, schema
from actscope.store.chunking import stored_as
from actscope.store.codecs import encode
from actscope.store.schema import RecordingPlan
from actscope.store.writers import open_writer
from benchmarks import convnet
from benchmarks.measuring import Options, by_backend, new_file, rounds_of, timed
from benchmarks.sample_recordings import output
from benchmarks.tables import Ratio, Series, Table

SAMPLES = 30_000
SHAPE = (24, 24, 16)
BATCH_SIZE = 512
CHUNK_BYTES = 2**20
CAPTURE, ALONE, EXTRACT = "capture into memory", "encoding alone", "`extract`, zstd"
WRITE = "raw write of the encoded bytes"
RATIOS = (
    Ratio(
        "speed with 2 threads / 1", ("recorded, 1 thread",), ("recorded, 2 threads",), at_least=1.6
    ),
    Ratio(
        "speed / encoding alone, 1 thread", ("encoding alone, 1 thread",), ("recorded, 1 thread",)
    ),
    Ratio(
        "speed / encoding alone, 2 threads",
        ("encoding alone, 2 threads",),
        ("recorded, 2 threads",),
    ),
)


def record(batches: Sequence[Any], path: Path, codec: str, layout: str, threads: int) -> None:
    """One recording."""
    chunked_writer.THREADS, chunked_writer.BANDS_UNDER_WAY = threads, 2 * threads
    samples = sum(map(len, batches))
    tensors, groups = schema.plan_layers([output("conv2d", SHAPE, 0)])
    plan = stored_as(RecordingPlan(samples, tuple(tensors), groups, "{}"), codec, layout)
    with open_writer(path, plan, overwrite=True) as writer:
        for batch in batches:
            writer.append([batch])
        writer.complete()


def encode_all(chunks: Sequence[Any], codec: str, threads: int) -> list[memoryview]:
    """The codec alone, and what it gives."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(partial(encode, codec=codec), chunks))


def in_chunks(rows: Any) -> Iterator[Any]:
    """As many rows at a time as a chunk has."""
    step = max(1, CHUNK_BYTES // rows[0].nbytes)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def codecs_table(samples: int, rounds: int, folder: Path) -> Table:
    """Every way of recording, interleaved."""
    random = np.random.default_rng(0)
    rows = np.maximum(random.standard_normal((4 * BATCH_SIZE, *SHAPE), np.float32), 0)
    places = [start % len(rows) for start in range(0, samples, BATCH_SIZE)]
    batches = [rows[place : place + BATCH_SIZE] for place in places]
    chunks = [chunk for batch in batches for chunk in in_chunks(batch)]
    size = sum(batch.nbytes for batch in batches)
    smaller: dict[str, list[float]] = {}
    with new_file(folder) as path:
        ways: dict[tuple[str, str], Callable[[], Any]] = {
            ("none", "recorded, 2 threads"): partial(record, batches, path, "none", "sample", 2)
        }
        for codec in ("zstd", "gzip"):
            for threads, words in ((1, "1 thread"), (2, "2 threads")):
                recorded = partial(record, batches, path, codec, "sample", threads)
                ways[codec, f"recorded, {words}"] = recorded
                ways[codec, f"encoding alone, {words}"] = partial(
                    encode_all, chunks, codec, threads
                )
            record(batches, path, codec, "sample", 2)
            smaller[codec] = [size / path.stat().st_size]
        by_channels = partial(record, batches, path, "zstd", "channel", 2)
        ways["zstd", "recorded by channels, 2 threads"] = by_channels
        found = rounds_of(ways, rounds)
    labels = dict.fromkeys(label for _, label in found)
    series = [
        Series(label, {codec: values for (codec, one), values in found.items() if one == label})
        for label in labels
    ]
    title = f"Recording in chunks: {size / 1e9:.1f} GB of float32 after a ReLU, in batches of 38 MB"
    return Table("codecs", title, (*series, Series("smaller by", smaller, "times")), RATIOS)


def one_round(model: Any, data: Any, path: Path) -> dict[str, float]:
    """Seconds to capture the model's layers, to encode, to write, and for all at once."""
    batches: list[list[Any]] = []
    encoded: list[memoryview] = []
    capturing = timed(lambda: batches.extend(convnet.capture(model, data)))
    layers = [np.concatenate(one) for one in zip(*batches, strict=True)]
    batches.clear()
    chunks = [chunk for layer in layers for chunk in in_chunks(layer)]
    encoding = timed(lambda: encoded.extend(encode_all(chunks, "zstd", chunked_writer.THREADS)))
    writing = timed(lambda: convnet.raw_write([encoded], path))
    for held in (layers, chunks, encoded):
        held.clear()
    recording = timed(lambda: convnet.extract(model, data, path, codec="zstd"))
    return {CAPTURE: capturing, ALONE: encoding, WRITE: writing, EXTRACT: recording}


def measure_beside_model(rounds: int, samples: int, folder: str) -> dict[str, list[float]]:
    """Rounds of the ConvNet; the first warms up and is left out."""
    model, data = convnet.build(), convnet.images(samples)
    with new_file(folder) as path:
        found = [one_round(model, data, path) for _ in range(rounds + 1)][1:]
    return {name: [one[name] for one in found] for name in found[0]}


def tables(options: Options) -> Iterator[Table]:
    """One table without a model, and one beside the ConvNet on each backend."""
    samples = options.scaled(SAMPLES)
    yield codecs_table(samples, options.rounds, options.folder)
    found = by_backend(measure_beside_model, options, options.rounds, samples, str(options.folder))
    series = tuple(Series(label, values) for label, values in found.items())
    ceilings = (CAPTURE, ALONE, WRITE)
    ratio = Ratio("extract / (capture + encoding + raw write)", (EXTRACT,), ceilings, at_most=1.1)
    title = f"Recording the ConvNet with zstd: all layers, {samples:,} samples"
    yield Table("codecs-model", title, series, (ratio,))
