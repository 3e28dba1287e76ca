"""Recordings written anew: merged and packed, beside a plain copy of the same files.

    python -m benchmarks.copying [--samples 24576] [--rounds 3] [--folder /dev/shm]

Two recordings of `(N, 24, 24, 16)` and `(N, 16)` float32 after a ReLU, zstd: about 500 MB each for
24,576 samples. They are copied with plain reads and writes, one after the other into one file and
brought to the disk; merged, where their chunks line up and where they do not; and one of them is
packed. Then a recording of eight such layers by channels, of which a sixteenth of the samples is
taken, is packed by samples. Interleaved rounds, medians.
"""

import argparse
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

import actscope
from actscope.store import schema
from actscope.store.chunking import stored_as
from actscope.store.schema import RecordingPlan
from actscope.store.writers import open_writer
from benchmarks.codecs import BATCH_SIZE, SHAPE, output

ROWS_PER_CHUNK = 28
LAYERS_BY_CHANNEL = 8


def write(path: Path, samples: int, storage: tuple[str, str], layers: int = 1) -> Path:
    """A recording of one convolution or several, and of a few numbers beside."""
    random = np.random.default_rng(len(path.name))
    rows = np.maximum(random.standard_normal((4 * BATCH_SIZE, *SHAPE), np.float32), 0)
    outputs = [output(f"conv{number}", SHAPE, number) for number in range(layers)]
    dense = replace(output("dense", (16,), layers), axes=("channel",))
    tensors, groups = schema.plan_layers([*outputs, dense])
    plan = stored_as(RecordingPlan(samples, tuple(tensors), groups, "{}"), *storage)
    with open_writer(path, plan) as writer:
        for first in range(0, samples, BATCH_SIZE):
            place = first % len(rows)
            batch = rows[place : place + min(BATCH_SIZE, samples - first)]
            writer.append([*[batch] * layers, np.ascontiguousarray(batch[:, 0, 0])])
        writer.complete()
    return path


def copy(sources: list[Path], target: Path) -> None:
    """The same bytes, one file after the other."""
    with target.open("wb") as whole:
        for source in sources:
            with source.open("rb") as part:
                shutil.copyfileobj(part, whole, 2**20)
        whole.flush()
        os.fsync(whole.fileno())


def measure(samples: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds for each way, one entry per round."""
    whole = samples // ROWS_PER_CHUNK * ROWS_PER_CHUNK
    zstd = ("zstd", "sample")
    one, two = write(folder / "1.h5", whole, zstd), write(folder / "22.h5", whole, zstd)
    odd = write(folder / "odd.h5", ROWS_PER_CHUNK // 2, zstd)
    channels = write(
        folder / "channels.h5", samples // 16, ("zstd", "channel"), layers=LAYERS_BY_CHANNEL
    )
    target = folder / "target.h5"
    ways: dict[str, Callable[[], object]] = {
        "copy both": lambda: copy([one, two], target),
        "merge both": lambda: actscope.merge([one, two], target),
        "merge, not lining up": lambda: actscope.merge([odd, one, two], target),
        "merge, decoded": lambda: actscope.merge([one, two], target, codec="none"),
        "pack one, as it is": lambda: actscope.pack(one, target),
        "pack one, gzip": lambda: actscope.pack(one, target, codec="gzip"),
        "pack by channels": lambda: actscope.pack(channels, target),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
            target.unlink()
    return times


def report(times: dict[str, list[float]]) -> None:
    """A table."""
    for name, values in times.items():
        print(f"{name:22} {median(values):6.2f} s   ({min(values):.2f} to {max(values):.2f})")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=24_576)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    words = parser.parse_args()
    with TemporaryDirectory(dir=words.folder) as folder:
        report(measure(words.samples, words.rounds, Path(folder)))


if __name__ == "__main__":
    main()
