"""Small recordings with known content, made without any framework."""

from pathlib import Path

import numpy as np

from actscope.axes import channels_last
from actscope.protocol import OutputInfo
from actscope.store import schema
from actscope.store.schema import RecordingPlan
from actscope.store.writer import Writer


def output_info(path, shape, order, dtype="float32", axes=None, **words):
    axes = axes or channels_last(len(shape))
    words = {"call": 0, "index": 0, "key": "", "data_format": "channels_last", **words}
    return OutputInfo(path, "Conv2D", order, shape=shape, dtype=dtype, axes=axes, **words)


class Example:
    """A small recording with known content, and the arrays that went in."""

    def __init__(self, path: Path, samples: int = 12) -> None:
        random = np.random.default_rng(0)
        self.path = path
        self.samples = samples
        self.input = random.random((samples, 8, 8, 1), np.float32)
        self.arrays = {
            "conv2d": random.normal(size=(samples, 6, 6, 4)).astype(np.float32),
            "block/dense": random.normal(size=(samples, 5)).astype(np.float32),
            "tokens": random.normal(size=(samples, 7, 3)).astype(np.float16),
        }
        outputs = [
            output_info(name, array.shape[1:], order, str(array.dtype))
            for order, (name, array) in enumerate(self.arrays.items())
        ]
        tensors, groups = schema.plan_layers(outputs)
        inputs = schema.plan_inputs(["image"], [(8, 8, 1)], ["float32"])
        self.ids = tuple(f"digit-{number}" for number in range(samples))
        self.labels = np.arange(samples) % 10
        self.plan = RecordingPlan(
            samples, (*inputs, *tensors), groups, '{"backend": "none"}', self.ids, self.labels
        )

    def rows(self, start: int, stop: int) -> list[np.ndarray]:
        return [self.input[start:stop], *(array[start:stop] for array in self.arrays.values())]

    def write(self, upto: int | None = None, step: int = 5) -> Path:
        with Writer(self.path, self.plan) as writer:
            for start in range(0, upto or self.samples, step):
                writer.append(self.rows(start, min(start + step, upto or self.samples)))
            writer.commit()
        return self.path
