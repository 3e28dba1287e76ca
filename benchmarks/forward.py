"""The forward pass alone, beside Keras's own: networks for pictures of 224x224, random weights.

Per backend, in a process of its own, interleaved rounds of `predict` and of `extract` of what the
model returns. Both compile anew.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks import convnet
from benchmarks.measuring import Options, by_backend, new_file, predict_anew, rounds_of
from benchmarks.resnet import BATCH_SIZE, images
from benchmarks.tables import Ratio, Series, Table

IMAGES = 64
NETWORKS = ("VGG16", "DenseNet121", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny")


def predicting(network: str) -> str:
    """How the row of Keras's own pass is called."""
    return f"{network}, `predict`"


def extracting(network: str) -> str:
    """How the row of a recording's pass is called."""
    return f"{network}, `extract`"


def extract(model: Any, data: Any, folder: str) -> None:
    """A recording of the model's output, in a file that is taken away again."""
    with new_file(folder) as path:
        convnet.extract(model, data, path, layers="output", batch_size=BATCH_SIZE)


def measure(rounds: int, count: int, folder: str) -> dict[str, list[float]]:
    """Seconds of each way in interleaved rounds, in this process."""
    import keras

    data, ways = images(count), dict[str, Callable[[], Any]]()
    for network in NETWORKS:
        model = getattr(keras.applications, network)(weights=None)
        ways[predicting(network)] = partial(predict_anew, model, data, BATCH_SIZE)
        ways[extracting(network)] = partial(extract, model, data, folder)
    return rounds_of(ways, rounds)


def tables(options: Options) -> Iterator[Table]:
    """The one table."""
    count = options.scaled(IMAGES, BATCH_SIZE)
    found = by_backend(measure, options, options.rounds, count, str(options.folder))
    series = tuple(Series(label, values) for label, values in found.items())
    ratios = tuple(
        Ratio(f"{network}, times faster", (predicting(network),), (extracting(network),))
        for network in NETWORKS
    )
    title = f"The forward pass alone, {count} images, batches of {BATCH_SIZE}"
    yield Table("forward", title, series, ratios)
