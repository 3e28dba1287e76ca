"""Recording convolutions of ResNet50, 224x224: what capturing costs over the forward pass.

Per backend, in a process of its own, interleaved rounds of

- `predict` of the whole model, which is compiled anew, as `extract` compiles anew;
- `extract` of every convolution, averaged over its positions;
- `predict` of a model with as many outputs, each with a `GlobalAveragePooling2D` (the peer);
- `extract` of the first block alone, averaged and whole, and `predict` of a model that ends there.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks import convnet
from benchmarks.measuring import Options, by_backend, new_file, predict_anew, rounds_of
from benchmarks.tables import Ratio, Series, Table

IMAGES = 512
BATCH_SIZE = 32
FIRST_BLOCK = "conv2_block1_out"


def build() -> Any:
    """ResNet50 with random weights."""
    import keras

    return keras.applications.ResNet50(weights=None)


def images(count: int) -> Any:
    """Random pictures, shape `(count, 224, 224, 3)`, float32."""
    return np.random.default_rng(0).random((count, 224, 224, 3), np.float32)


def extract(model: Any, data: Any, folder: str, layers: str, reduce: str | None) -> None:
    """A recording in a file that is taken away again."""
    with new_file(folder) as path:
        convnet.extract(model, data, path, layers=layers, reduce=reduce, batch_size=BATCH_SIZE)


def measure(rounds: int, count: int, folder: str) -> dict[str, list[float]]:
    """Seconds of each way in interleaved rounds, in this process."""
    import keras

    model, data = build(), images(count)
    outputs = [layer.output for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    average = keras.layers.GlobalAveragePooling2D
    many = keras.Model(model.inputs, [average()(output) for output in outputs])
    part = keras.Model(model.inputs, model.get_layer(FIRST_BLOCK).output)
    ways: dict[str, Callable[[], Any]] = {
        "`predict` (ceiling)": partial(predict_anew, model, data, BATCH_SIZE),
        "`extract` of 53 convolutions, mean": partial(
            extract, model, data, folder, "type:Conv2D", "mean"
        ),
        "multi-output `predict`, mean (peer)": partial(predict_anew, many, data, BATCH_SIZE),
        "`predict` to the first block (ceiling)": partial(predict_anew, part, data, BATCH_SIZE),
        "`extract` of the first block, mean": partial(
            extract, model, data, folder, FIRST_BLOCK, "mean"
        ),
        "`extract` of the first block, whole": partial(
            extract, model, data, folder, FIRST_BLOCK, None
        ),
    }
    return rounds_of(ways, rounds)


def tables(options: Options) -> Iterator[Table]:
    """The one table."""
    count = options.scaled(IMAGES, BATCH_SIZE)
    found = by_backend(measure, options, options.rounds, count, str(options.folder))
    part = ("`predict` to the first block (ceiling)",)
    ratios = (
        Ratio(
            "53 convolutions, mean / `predict`",
            ("`extract` of 53 convolutions, mean",),
            ("`predict` (ceiling)",),
            at_most=1.03,
        ),
        Ratio(
            "first block, mean / model to there",
            ("`extract` of the first block, mean",),
            part,
            at_most=1.05,
        ),
        Ratio(
            "first block, whole / model to there", ("`extract` of the first block, whole",), part
        ),
        Ratio(
            "first block, whole / whole `predict`",
            ("`extract` of the first block, whole",),
            ("`predict` (ceiling)",),
        ),
    )
    series = tuple(Series(label, values) for label, values in found.items())
    title = f"ResNet50, 224x224, {count:,} images, batches of {BATCH_SIZE}"
    yield Table("resnet", title, series, ratios)
