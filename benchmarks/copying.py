"""Recordings written anew: merged and packed, beside a plain copy of the same files.

Two recordings of `(N, 24, 24, 16)` and `(N, 16)` float32 after a ReLU, zstd: about 500 MB each for
24,576 samples. They are copied with plain reads and writes, one after the other into one file and
brought to the disk; merged, where their chunks line up and where they do not; and one of them is
packed. Then a recording of eight such layers by channels, of which a sixteenth of the samples is
taken, is packed by samples.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import actscope
from actscope.store import schema
from actscope.store.chunking import stored_as
from actscope.store.schema import RecordingPlan
from actscope.store.writers import open_writer
from benchmarks.codecs import BATCH_SIZE, SHAPE
from benchmarks.measuring import Options, rounds_of
from benchmarks.sample_recordings import output
from benchmarks.tables import Ratio, Series, Table

SAMPLES = 24_576
ROWS_PER_CHUNK = 28
LAYERS_BY_CHANNEL = 8
COPY, MERGE = "copy both plainly", "merge both"


def write(path: Path, samples: int, storage: tuple[str, str], layers: int = 1) -> Path:
    """A recording of one convolution or several, and of a few numbers beside."""
    random = np.random.default_rng(len(path.name))
    rows = np.maximum(random.standard_normal((4 * BATCH_SIZE, *SHAPE), np.float32), 0)
    outputs = [output(f"conv{number}", SHAPE, number) for number in range(layers)]
    tensors, groups = schema.plan_layers([*outputs, output("dense", (16,), layers)])
    plan = stored_as(RecordingPlan(samples, tuple(tensors), groups, "{}"), *storage)
    with open_writer(path, plan) as writer:
        for first in range(0, samples, BATCH_SIZE):
            place = first % len(rows)
            batch = rows[place : place + min(BATCH_SIZE, samples - first)]
            writer.append([*[batch] * layers, np.ascontiguousarray(batch[:, 0, 0])])
        writer.complete()
    return path


def copy(sources: Sequence[Path], target: Path) -> None:
    """The same bytes, one file after the other."""
    with target.open("wb") as whole:
        for source in sources:
            with source.open("rb") as part:
                shutil.copyfileobj(part, whole, 2**20)
        whole.flush()
        os.fsync(whole.fileno())


def measure(samples: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each way, one entry per round."""
    whole = samples // ROWS_PER_CHUNK * ROWS_PER_CHUNK
    zstd = ("zstd", "sample")
    one, two = write(folder / "1.h5", whole, zstd), write(folder / "22.h5", whole, zstd)
    odd = write(folder / "odd.h5", ROWS_PER_CHUNK // 2, zstd)
    channels = write(
        folder / "channels.h5", samples // 16, ("zstd", "channel"), layers=LAYERS_BY_CHANNEL
    )
    target = folder / "target.h5"
    ways: dict[str, Callable[[], object]] = {
        COPY: lambda: copy([one, two], target),
        MERGE: lambda: actscope.merge([one, two], target),
        "merge, chunks not lining up": lambda: actscope.merge([odd, one, two], target),
        "merge into plain rows": lambda: actscope.merge([one, two], target, codec="none"),
        "pack one, as it is": lambda: actscope.pack(one, target),
        "pack one, gzip": lambda: actscope.pack(one, target, codec="gzip"),
        "pack eight layers by channels": lambda: actscope.pack(channels, target),
    }
    return rounds_of(ways, rounds, lambda: target.unlink(missing_ok=True))


def tables(options: Options) -> Iterator[Table]:
    """One table: in memory, and on a disk."""
    samples = options.scaled(SAMPLES, ROWS_PER_CHUNK)
    found: dict[str, dict[str, list[float]]] = {}
    for place, folder in (("in memory", options.folder), ("on the disk", options.disk)):
        with TemporaryDirectory(dir=folder) as temporary:
            for label, values in measure(samples, options.rounds, Path(temporary)).items():
                found.setdefault(label, {})[place] = values
    series = tuple(Series(label, values) for label, values in found.items())
    title = f"Merging and packing recordings of {samples:,} samples"
    yield Table("copying", title, series, (Ratio("merge / plain copy", (MERGE,), (COPY,)),))
