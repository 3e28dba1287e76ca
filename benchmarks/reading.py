"""Opening a file of 500 layers, and reading parts of a file of 10 GB, beside two other ways.

The plainest is a copy of a `np.memmap` where the file is in memory, and one read into an array
where the system had let go of it; of random samples a copy both times. The other is h5py.
401,408 bytes per sample.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import actscope
from actscope.protocol import Array
from actscope.store.writer import Writer
from benchmarks.measuring import Options, new_file, timed
from benchmarks.store import planned, record
from benchmarks.tables import Ratio, Series, Table

TOTAL_BYTES = 10**10
SAMPLE_SHAPE = (14, 14, 512)
SAMPLE, BATCH, RANDOM, CHANNEL = (
    "a sample",
    "a batch of 256",
    "256 random samples",
    "a channel of 4,096 samples",
)
DATASET = "layers/layer_0/output"
LAYERS = 500
OURS, PLAIN, H5PY = "actscope", "the plainest way", "h5py (peer)"


def forget(path: Path) -> None:
    """Let the system drop the file's pages."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def opening_table(rounds: int, folder: Path) -> Table:
    """Milliseconds to lay out and to open a file of many layers."""
    with new_file(folder) as path:
        start = time.perf_counter()
        with Writer(path, planned([(4, 4, 8)] * LAYERS, 4)) as writer:
            laid_out = time.perf_counter() - start
            writer.append([np.zeros((4, 4, 4, 8), np.float32)] * LAYERS)
            writer.commit()
        warm, cold = [], []
        for _ in range(rounds):
            warm.append(1e3 * timed(lambda: actscope.open(path).close()))
            forget(path)
            cold.append(1e3 * timed(lambda: actscope.open(path).close()))
    values = {"laying it out": [1e3 * laid_out], "opening": warm, "opening, not in memory": cold}
    series = Series("time", values, "ms", at_most={"opening": 50})
    return Table("opening", f"A file of {LAYERS} layers", (series,))


def in_turns(
    ways: Mapping[str, Callable[[Any], Any]],
    parts: Sequence[Any],
    before: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Milliseconds of each way for each part; of what is in memory the third time."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for part in parts:
        for name, way in ways.items():
            if before is None:
                _ = way(part), way(part)
            else:
                before()
            found[name].append(1e3 * timed(partial(way, part)))
    return found


def read_in_memory(path: Path, keys: Sequence[Any]) -> dict[str, list[float]]:
    """Parts of a file that is in memory."""
    layer = actscope.open(path)["layer_0"]
    mapped = np.memmap(path, np.float32, "r", layer._tensor.offset, layer.shape)
    with h5py.File(path) as file:
        dataset = file[DATASET]
        ways = {
            OURS: lambda key: layer[key],
            PLAIN: lambda key: np.array(mapped[key]),
            H5PY: lambda key: dataset[key],
        }
        return in_turns(ways, keys)


def read_from_disk(path: Path, keys: Sequence[Any]) -> dict[str, list[float]]:
    """Parts of a file that the system let go of."""
    recording = actscope.open(path)
    offset, shape = recording["layer_0"]._tensor.offset, recording["layer_0"].shape

    def plainly(key: Any) -> Array:
        if isinstance(key, slice):
            return read_at_once(path, offset + key.start * 4 * prod(shape[1:]), shape[1:], key)
        return np.array(np.memmap(path, np.float32, "r", offset, shape)[key])

    with h5py.File(path) as file:
        dataset = file[DATASET]
        ways = {
            OURS: lambda key: recording["layer_0"][key],  # anew: the system keeps what is mapped
            PLAIN: plainly,
            H5PY: lambda key: dataset[key],
        }
        return in_turns(ways, keys, lambda: forget(path))


def read_at_once(path: Path, offset: int, shape: tuple[int, ...], rows: slice) -> Array:
    """Rows, with as few reads as the system allows."""
    values = np.empty((rows.stop - rows.start, *shape), np.float32)
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        left = memoryview(values).cast("B")
        while len(left):
            left = left[file.readinto(left) or len(left) :]
    return values


def reading_tables(total: int, folder: Path) -> Iterator[Table]:
    """A table of what is in memory, and one of what is not."""
    batch = np.random.default_rng(0).normal(size=(256, *SAMPLE_SHAPE)).astype(np.float32)
    with new_file(folder) as path:
        record(path, [batch], max(2, total // batch.nbytes))
        count = actscope.open(path).samples
        random = np.random.default_rng(1)
        rows = [int(row) for row in random.integers(0, count - 256, 400)]
        few = slice(0, min(count, 4096))
        parts: dict[str, Sequence[Any]] = {
            SAMPLE: [slice(row, row + 1) for row in rows],
            BATCH: [slice(row, row + 256) for row in rows[:12]],
            RANDOM: [np.sort(random.choice(count, 256, False)) for _ in range(6)],
            CHANNEL: [(few, 5, 5, 7), (few, 1, 2, 3), (few, 8, 9, 10)],
        }
        title = f"Reading parts of a file of {path.stat().st_size / 1e9:.1f} GB"
        found = {name: read_in_memory(path, keys) for name, keys in parts.items()}
        yield _table("reading-memory", f"{title} that is in memory", found)
        del parts[CHANNEL]
        found = {name: read_from_disk(path, keys[:8]) for name, keys in parts.items()}
        yield _table("reading-disk", f"{title} that is not in memory", found)


def _table(name: str, title: str, found: dict[str, dict[str, list[float]]]) -> Table:
    times = {
        way: {part: by_way[way] for part, by_way in found.items()} for way in (OURS, PLAIN, H5PY)
    }
    size = 4 * prod(SAMPLE_SHAPE) * 256
    speeds = {BATCH: [size / milliseconds / 1e6 for milliseconds in times[OURS][BATCH]]}
    series = (
        Series(OURS, times[OURS], "ms", at_most={SAMPLE: 0.1} if CHANNEL in found else None),
        Series(PLAIN, times[PLAIN], "ms"),
        Series(H5PY, times[H5PY], "ms"),
        Series("speed of actscope", speeds, "GB/s"),
    )
    ratios = (
        Ratio("speed / the plainest way's", (PLAIN,), (OURS,), at_least={BATCH: 0.9}),
        Ratio("speed / h5py's", (H5PY,), (OURS,)),
    )
    return Table(name, title, series, ratios)


def tables(options: Options) -> Iterator[Table]:
    """Opening, reading what is in memory, and what is not, all from a disk."""
    yield opening_table(3 * options.rounds, options.disk)
    yield from reading_tables(options.scaled(TOTAL_BYTES), options.disk)
