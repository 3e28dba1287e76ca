"""What `actscope.estimate` says of a run, beside what the run then takes.

Per backend, in a process of its own, so that each compiles as a first run does: the estimate, then
the run, for the ConvNet with all layers, the averaged convolutions of ResNet50, and the blocks of a
model in the shape of BERT-base.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import bert, convnet
from benchmarks.measuring import BACKENDS, Options, in_process, new_file, timed
from benchmarks.tables import Ratio, Series, Table

COUNTS = {"convnet": 60_000, "resnet": 256, "bert": 128}


def model_and_words(name: str, count: int) -> tuple[Any, Any, dict[str, Any]]:
    """A model, its data, and the words of the recording."""
    import keras

    if name == "convnet":
        words: dict[str, Any] = {"layers": "all", "batch_size": convnet.BATCH_SIZE}
        return convnet.build(), convnet.images(count), words
    if name == "resnet":
        data = np.random.default_rng(0).random((count, 224, 224, 3), np.float32)
        words = {"layers": "type:Conv2D", "reduce": "mean", "batch_size": 32}
        return keras.applications.ResNet50(weights=None), data, words
    import keras_hub

    words = {"layers": "transformer_layer_*", "batch_size": bert.BATCH_SIZE}
    return keras_hub.models.BertBackbone(**bert.SHAPE), bert.texts(count), words


def measure(name: str, count: int, folder: str) -> dict[str, float]:
    """Estimated and actual seconds and bytes of one run."""
    import actscope

    model, data, words = model_and_words(name, count)
    words["store_inputs"] = False
    with new_file(folder) as path:
        said = actscope.estimate(model, data, path, **words)
        seconds = timed(lambda: actscope.extract(model, data, path, **words).close())
        return {
            "estimated": said.seconds,
            "actual": seconds,
            "estimated MB": said.bytes_total / 1e6,
            "actual MB": path.stat().st_size / 1e6,
        }


def tables(options: Options) -> Iterator[Table]:
    """One table per model."""
    for name, full in COUNTS.items():
        count = options.scaled(full, 32)
        found: dict[str, dict[str, list[float]]] = {}
        for _ in range(options.rounds):
            for backend in options.backends:
                one = in_process(measure, name, count, str(options.folder), backend=backend)
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
