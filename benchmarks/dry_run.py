"""What `actscope.estimate` says of a run, beside what the run then takes.

Per backend, the estimate and then the run, each in a process of its own, as on the command line, so
that both compile and warm up alike: for the ConvNet with all layers, the averaged convolutions of
ResNet50, and the blocks of a model in the shape of BERT-base. Each has more batches than are timed.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks import bert, convnet, resnet
from benchmarks.measuring import (
    BACKENDS,
    Options,
    have_memory_at_hand,
    in_process,
    new_file,
    timed,
)
from benchmarks.tables import Ratio, Series, Table

COUNTS = {"convnet": 60_000, "resnet": 512, "bert": 512}
BYTES_PER_SAMPLE = {
    "convnet": convnet.BYTES_PER_SAMPLE,
    "resnet": 0,
    "bert": 4 * bert.BLOCKS * bert.LENGTH * bert.SHAPE["hidden_dim"],
}
"""Of those that write enough to tell."""


def model_and_words(name: str, count: int) -> tuple[Any, Any, dict[str, Any]]:
    """A model, its data, and the words of the recording."""
    if name == "convnet":
        words: dict[str, Any] = {"layers": "all", "batch_size": convnet.BATCH_SIZE}
        return convnet.build(), convnet.images(count), words
    if name == "resnet":
        words = {"layers": "type:Conv2D", "reduce": "mean", "batch_size": 32}
        return resnet.build(), resnet.images(count), words
    words = {"layers": "transformer_layer_*", "batch_size": bert.BATCH_SIZE}
    return bert.build(), bert.texts(count), words


def estimated(name: str, count: int, folder: str) -> dict[str, float]:
    """What the estimate says, and how long it took to say so."""
    import actscope

    model, data, words = model_and_words(name, count)
    with new_file(folder) as path:
        start = time.perf_counter()
        said = actscope.estimate(model, data, path, store_inputs=False, **words)
        return {
            "estimated": said.seconds,
            "estimating": time.perf_counter() - start,
            "estimated MB": said.bytes_total / 1e6,
        }


def actual(name: str, count: int, folder: str) -> dict[str, float]:
    """What the run takes."""
    import actscope

    model, data, words = model_and_words(name, count)
    with new_file(folder) as path:
        record = partial(actscope.extract, model, data, path, store_inputs=False, **words)
        seconds = timed(lambda: record().close())
        return {"actual": seconds, "actual MB": path.stat().st_size / 1e6}


def tables(options: Options) -> Iterator[Table]:
    """One table per model."""
    folder = str(options.folder)
    for name, full in COUNTS.items():
        count = options.scaled(full, 32)
        found: dict[str, dict[str, list[float]]] = {}
        for backend in options.backends * options.rounds:
            for way in (estimated, actual):
                have_memory_at_hand(folder, count * BYTES_PER_SAMPLE[name])
                one = in_process(way, name, count, folder, backend=backend)
                for key, value in one.items():
                    found.setdefault(key, {}).setdefault(BACKENDS[backend], []).append(value)
        series = tuple(
            Series(key, values, "MB" if key.endswith("MB") else "s")
            for key, values in found.items()
        )
        ratios = (
            Ratio("estimated / actual seconds (0.85 to 1.15)", ("estimated",), ("actual",)),
            Ratio("estimated / actual bytes", ("estimated MB",), ("actual MB",)),
        )
        yield Table(f"dry-run-{name}", f"Dry run: {name}, {count:,} samples", series, ratios)
