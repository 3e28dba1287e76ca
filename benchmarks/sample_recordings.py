"""Writes recordings of random values without any model, for benchmarks of what reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import channels_last
from actscope.protocol import OutputInfo
from actscope.store import schema
from actscope.store.writers import open_writer

Arrays = Mapping[str, npt.NDArray[Any]]

FEATURE_MAPS = "conv2d"
VECTOR = "dense"


def output(path: str, shape: tuple[int, ...], order: int, dtype: str = "float32") -> OutputInfo:
    """The output of a layer to plan for: feature maps, or a few numbers."""
    class_name = "Dense" if len(shape) == 1 else "Conv2D"
    return OutputInfo(path, class_name, order, 0, 0, "", shape, dtype, channels_last(len(shape)))


def write_recording(path: Path, layers: Arrays, images: npt.NDArray[Any]) -> None:
    """A finished recording of `layers`, by path, `(N, ...)`, with `images` as the stored input."""
    outputs = [
        output(name, array.shape[1:], order, str(array.dtype))
        for order, (name, array) in enumerate(layers.items())
    ]
    tensors, groups = schema.plan_layers(outputs)
    inputs = schema.plan_inputs(["image"], [images.shape[1:]], [str(images.dtype)])
    ids = tuple(f"image-{number:04}" for number in range(len(images)))
    plan = schema.RecordingPlan(len(images), (*inputs, *tensors), groups, "{}", ids)
    with open_writer(path, plan, overwrite=True) as writer:
        writer.append([images, *layers.values()])
        writer.complete()


def write_pictures(path: Path, samples: int) -> None:
    """A convolution of 64 channels of 28×28, and a dense layer of 128 values."""
    random = np.random.default_rng(0)
    maps = np.maximum(random.standard_normal((samples, 28, 28, 64), np.float32), 0)
    values = random.standard_normal((samples, 128), np.float32)
    images = random.random((samples, 28, 28, 1), np.float32)
    write_recording(path, {FEATURE_MAPS: maps, VECTOR: values}, images)


def write_many_layers(path: Path, layers: int, samples: int) -> None:
    """Layers of a network such as ResNet: maps that shrink while their channels become more."""
    random = np.random.default_rng(0)
    shapes = [(56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512)]
    found = {}
    for number in range(layers):
        stage = number * len(shapes) // layers
        name = f"stage_{stage}/block_{number // 4}/layer_{number}"
        found[name] = np.maximum(random.standard_normal((samples, *shapes[stage]), np.float32), 0)
    write_recording(path, found, random.random((samples, 56, 56, 3), np.float32))
