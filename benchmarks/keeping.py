"""Keeping statistics and top samples while recording: what it costs over recording without them.

Per backend, in a process of its own, interleaved rounds over the ConvNet, all layers: without, with
`statistics=True`, and with these alone (`store=False`). The same for the averaged convolutions of
ResNet50, where the model computes more per value.
"""

from collections.abc import Iterator
from functools import partial

from benchmarks import convnet, resnet
from benchmarks.measuring import Options, by_backend, new_file, rounds_of
from benchmarks.tables import Ratio, Series, Table

SAMPLES = 60_000
IMAGES = 64
WITHOUT, WITH, ALONE = "without statistics", "`statistics=True`", "`store=False`"
WAYS = {WITHOUT: {}, WITH: {"statistics": True}, ALONE: {"store": False}}


def measure_convnet(rounds: int, samples: int, folder: str) -> dict[str, list[float]]:
    """Seconds of each way in interleaved rounds, in this process."""
    model, data = convnet.build(), convnet.images(samples)
    with new_file(folder) as path:
        ways = {
            name: partial(convnet.extract, model, data, path, **words)
            for name, words in WAYS.items()
        }
        return rounds_of(ways, rounds)


def measure_resnet(rounds: int, images: int, folder: str) -> dict[str, list[float]]:
    """The same for every convolution of ResNet50 on images of 224x224, whole."""
    model, data = resnet.build(), resnet.images(images)
    words = {"layers": "type:Conv2D", "batch_size": 16}
    with new_file(folder) as path:
        ways = {
            name: partial(convnet.extract, model, data, path, **words, **more)
            for name, more in WAYS.items()
        }
        return rounds_of(ways, rounds)


def tables(options: Options) -> Iterator[Table]:
    """One table per model."""
    samples, images = options.scaled(SAMPLES), options.scaled(IMAGES, 16)
    ratios = (
        Ratio("with / without", (WITH,), (WITHOUT,), at_most=1.1),
        Ratio("alone / without", (ALONE,), (WITHOUT,)),
    )
    for name, measure, count, title in (
        (
            "statistics-convnet",
            measure_convnet,
            samples,
            f"ConvNet, all layers, {samples:,} samples",
        ),
        (
            "statistics-resnet",
            measure_resnet,
            images,
            f"ResNet50, 53 convolutions, {images} images",
        ),
    ):
        found = by_backend(measure, options, options.rounds, count, str(options.folder))
        series = tuple(Series(label, values) for label, values in found.items())
        yield Table(name, f"Statistics while recording: {title}", series, ratios)
