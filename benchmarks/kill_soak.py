"""Kills a real job at random moments, over and over, and goes on with what is left.

    python -m benchmarks.kill_soak [--kills 200] [--backend tensorflow] [--folder /tmp]
        [--job extract|merge|pack] [--codec zstd] [--layout channel] [--stream] [--statistics]

A child process records three layers of the demo's network over random pictures, commits ten times a
second, and is killed (SIGKILL) after a random time; or it merges two such recordings, or packs one.
Each time what there is of the recording is opened, its committed rows are compared with those of an
uninterrupted run, its statistics with those of these rows, and its checksums are checked; then the
same call goes on with it. A recording that gets finished is compared with the uninterrupted one:
byte for byte where its rows are one after another, else everything that it holds, since where the
chunks stand depends on the kills. Then the next one begins. Prints a table at the end.
"""

import argparse
import multiprocessing
import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np

import actscope
from actscope.errors import MissingFileError
from actscope.statistics import statistics_of
from actscope.store import chunked_writer, writer
from actscope.store.checking import check
from actscope.store.journal import partial_path

SAMPLES = 16_000
BATCH_SIZE = 32
LAYERS = ["conv2d", "dense", "dense_1"]
SMALL_LAYERS = ["dense", "dense_1"]
STATISTICS = ["count", "minimum", "maximum", "zeros", "histogram", "top_values", "top_samples"]


@dataclass(frozen=True)
class Job:
    """What the child does, and how the recording is stored."""

    name: str = "extract"
    codec: str | None = None
    layout: str = "sample"
    stream: bool = False
    statistics: bool = False

    @property
    def is_chunked(self) -> bool:
        """Whether the finished recording is in chunks."""
        return self.codec not in (None, "none") or self.layout != "sample" or self.stream


@dataclass
class Tally:
    """What the kills met: counts by name, and the sizes of what was committed."""

    counts: Counter[str] = field(default_factory=Counter)
    committed: list[int] = field(default_factory=list)


def pictures(start: int, stop: int) -> Any:
    """Random pictures, shape `(stop - start, 28, 28, 1)`."""
    return np.random.default_rng(0).random((stop, 28, 28, 1), np.float32)[start:]


def batches(data: Any) -> Iterator[Any]:
    """The same as a stream."""
    for start in range(0, len(data), BATCH_SIZE):
        yield data[start : start + BATCH_SIZE]


def extract(job: Job, path: Path, start: int = 0, stop: int = SAMPLES) -> None:
    """Record a part of the pictures."""
    import keras

    model = keras.saving.load_model(files("actscope.demo") / "digits.keras", compile=False)
    data = pictures(start, stop)
    actscope.extract(
        model,
        batches(data) if job.stream else data,
        path,
        layers=LAYERS,
        batch_size=BATCH_SIZE,
        store_inputs=False,
        codec=job.codec,
        layout=job.layout,
        statistics=job.statistics,
    ).close()


def do(job: Job, path: Path, sources: list[Path]) -> None:
    """The job that is killed."""
    warnings.simplefilter("ignore")  # that a stream is read past what is there
    writer.SECONDS_BETWEEN_COMMITS = chunked_writer.SECONDS_BETWEEN_COMMITS = 0.1  # type: ignore
    if job.name == "extract":
        extract(job, path)
    elif job.name == "merge":
        actscope.merge(sources, path, codec=job.codec, layout=job.layout).close()
    else:
        actscope.pack(sources[0], path, codec=job.codec or "none", layout=job.layout).close()


def start(target: Any, *words: Any) -> multiprocessing.process.BaseProcess:
    """A process of its own; forked before the framework computes anything, to begin at once."""
    child = multiprocessing.get_context("fork").Process(target=target, args=words)
    child.start()
    return child


def make_sources(job: Job, folder: Path) -> list[Path]:
    """What is merged or packed: recordings with zstd, whose chunks line up as far as they can."""
    middle = {"extract": [], "merge": [0, SAMPLES // 2, SAMPLES], "pack": [0, SAMPLES]}[job.name]
    storage = Job(codec="zstd", statistics=job.statistics)
    paths = []
    for number, (first, last) in enumerate(pairwise(middle)):
        paths.append(folder / f"part-{number}.h5")
        start(extract, storage, paths[-1], first, last).join()
    return paths


def content(path: Path) -> bytes:
    """The file's bytes, but for when its run began."""
    with actscope.open(path) as recording:
        created = str(recording.provenance["created"]).encode()
    return path.read_bytes().replace(created, b"-" * len(created))


def values(path: Path) -> dict[str, bytes]:
    """Everything that a finished recording holds, by its place; rows decoded."""
    found: dict[str, bytes] = {}
    with actscope.open(path) as recording:
        for layer in LAYERS:
            found[layer] = recording[layer][:].tobytes()

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.chunks is None and item.id.get_storage_size():
            found[name] = item[...].tobytes()

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def run_and_kill(job: Job, path: Path, sources: list[Path], longest: float) -> bool:
    """Kill a job after a random time; returns whether it was still running."""
    child = start(do, job, path, sources)
    time.sleep(random.uniform(0, 0.8 * longest))
    running = child.is_alive()
    child.kill()
    child.join()
    return running


def inspect(job: Job, path: Path, reference: Any, tally: Tally) -> None:
    """Count what a kill left: committed rows that are right, or something that is not."""
    try:
        recording = actscope.open(path)
    except MissingFileError:
        tally.counts["killed before the first commit"] += 1
        return
    rows = recording.samples
    tally.committed.append(rows)
    right = all(np.array_equal(recording[layer][:], reference[layer][:rows]) for layer in LAYERS)
    tally.counts["opened, committed rows right" if right else "WRONG ROWS"] += 1
    tally.counts["checksums hold" if check(path) == [] else "WRONG CHECKSUMS"] += 1
    if job.statistics:
        right = all(right_statistics(recording[layer]) for layer in SMALL_LAYERS)
        tally.counts["statistics are of these rows" if right else "WRONG STATISTICS"] += 1
    if recording.complete:
        same = values(path) == values(reference.path)
        if not job.is_chunked:
            same = same and content(path) == content(reference.path)
        tally.counts["finished, the same as without a kill" if same else "FINISHED OTHERWISE"] += 1
        path.unlink()
        partial_path(path).unlink(missing_ok=True)  # killed between naming it and this


def right_statistics(layer: Any) -> bool:
    """Whether the statistics that were kept are those of the rows that are there."""
    kept, found = layer.statistics, statistics_of(layer)
    exact = all(np.array_equal(getattr(kept, n), getattr(found, n)) for n in STATISTICS)
    moments = np.allclose(kept.mean, found.mean) and np.allclose(kept.variance, found.variance)
    return exact and moments


def soak(job: Job, kills: int, folder: Path) -> Tally:
    """Kill until there were enough."""
    tally = Tally()
    reference_path, path = folder / "reference.h5", folder / "run.h5"
    sources = make_sources(job, folder)
    began = time.perf_counter()
    start(do, job, reference_path, sources).join()
    seconds = time.perf_counter() - began
    with actscope.open(reference_path) as reference:
        while tally.counts["kills"] < kills:
            if run_and_kill(job, path, sources, longest=seconds):
                tally.counts["kills"] += 1
            else:
                tally.counts["ended before it could be killed"] += 1
            inspect(job, path, reference, tally)
    return tally


def report(job: Job, tally: Tally) -> None:
    """A table."""
    print(job)
    for name, count in tally.counts.items():
        print(f"{count:6}  {name}")
    rows = tally.committed or [0]
    print(f"rows committed when it was killed: {min(rows):,} to {max(rows):,} of {SAMPLES:,}")


def main() -> None:
    """Soak, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--job", choices=["extract", "merge", "pack"], default="extract")
    parser.add_argument("--codec", default=None)
    parser.add_argument("--layout", default="sample")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--statistics", action="store_true")
    words = parser.parse_args()
    os.environ["KERAS_BACKEND"] = words.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: F401 - once, for all children

    job = Job(words.job, words.codec, words.layout, words.stream, words.statistics)
    with TemporaryDirectory(dir=words.folder) as folder:
        report(job, soak(job, words.kills, Path(folder)))


if __name__ == "__main__":
    main()
