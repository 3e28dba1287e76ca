"""Kills a real extraction at random moments, over and over, and goes on with what is left.

    python -m benchmarks.kill_soak [--kills 200] [--backend tensorflow] [--folder /tmp]

A child process records three layers of the demo's network over random pictures, commits ten times a
second, and is killed (SIGKILL) after a random time. Each time the file, if there is one, is opened,
its committed rows are compared with those of an uninterrupted run, and its checksums are checked;
then the same call goes on with it. A recording that gets finished is compared byte for byte, and
the next one begins. Prints a table at the end.
"""

import argparse
import multiprocessing
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import actscope
from actscope.store import chunked_writer, writer
from actscope.store.checking import check

SAMPLES = 24_000
BATCH_SIZE = 32
LAYERS = ["conv2d", "dense", "dense_1"]


@dataclass
class Tally:
    """What the kills met: counts by name, and the sizes of what was committed."""

    counts: Counter[str] = field(default_factory=Counter)
    committed: list[int] = field(default_factory=list)


def record(path: Path) -> None:
    """The extraction that is killed."""
    import keras

    writer.SECONDS_BETWEEN_COMMITS = chunked_writer.SECONDS_BETWEEN_COMMITS = 0.1  # type: ignore
    model = keras.saving.load_model(files("actscope.demo") / "digits.keras", compile=False)
    data = np.random.default_rng(0).random((SAMPLES, 28, 28, 1), np.float32)
    actscope.extract(
        model, data, path, layers=LAYERS, batch_size=BATCH_SIZE, store_inputs=False
    ).close()


def start(path: Path) -> multiprocessing.process.BaseProcess:
    """A process that records; forked before the framework computes anything, to begin at once."""
    child = multiprocessing.get_context("fork").Process(target=record, args=(path,))
    child.start()
    return child


def content(path: Path) -> bytes:
    """The file's bytes, but for when its run began."""
    with actscope.open(path) as recording:
        created = str(recording.provenance["created"]).encode()
    return path.read_bytes().replace(created, b"-" * len(created))


def run_and_kill(path: Path, longest: float) -> bool:
    """Kill an extraction after a random time; returns whether it was still running."""
    child = start(path)
    time.sleep(random.uniform(0, 0.8 * longest))
    running = child.is_alive()
    child.kill()
    child.join()
    return running


def inspect(path: Path, reference: Any, tally: Tally) -> None:
    """Count what a kill left: committed rows that are right, or something that is not."""
    if not path.exists():
        tally.counts["killed before the first commit"] += 1
        return
    with actscope.open(path) as recording:
        rows = recording.samples
        tally.committed.append(rows)
        right = all(
            np.array_equal(recording[layer][:], reference[layer][:rows]) for layer in LAYERS
        )
        complete = recording.complete
    tally.counts["opened, committed rows right" if right else "WRONG ROWS"] += 1
    tally.counts["checksums hold" if check(path) == [] else "WRONG CHECKSUMS"] += 1
    if complete:
        same = content(path) == content(reference.path)
        tally.counts["finished, the same bytes" if same else "FINISHED WITH OTHER BYTES"] += 1
        path.unlink()


def soak(kills: int, folder: Path) -> Tally:
    """Kill until there were enough."""
    tally = Tally()
    reference_path, path = folder / "reference.h5", folder / "run.h5"
    began = time.perf_counter()
    start(reference_path).join()
    seconds = time.perf_counter() - began
    print(f"an uninterrupted run takes {seconds:.1f} s", flush=True)
    with actscope.open(reference_path) as reference:
        while tally.counts["kills"] < kills:
            if run_and_kill(path, longest=seconds):
                tally.counts["kills"] += 1
            else:
                tally.counts["ended before it could be killed"] += 1
            inspect(path, reference, tally)
    return tally


def main() -> None:
    """Soak, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--backend", default="tensorflow")
    parser.add_argument("--folder", type=Path, default=None)
    words = parser.parse_args()
    os.environ["KERAS_BACKEND"] = words.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: F401 - once, for all children

    with TemporaryDirectory(dir=words.folder) as folder:
        tally = soak(words.kills, Path(folder))
    for name, count in tally.counts.items():
        print(f"{count:6}  {name}")
    rows = tally.committed
    print(f"rows committed when it was killed: {min(rows):,} to {max(rows):,} of {SAMPLES:,}")


if __name__ == "__main__":
    main()
