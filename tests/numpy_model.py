"""A model of NumPy alone with its adapter, so that whole runs can be tested without a framework.

As a script it records, for tests that kill it:

    python numpy_model.py run.h5 samples seconds_per_batch words

with words of `record` as JSON. It commits ten times a second.
"""

import json
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np

import actscope
from actscope import registry
from actscope.protocol import Fetched, LayerInfo, ModelProvenance
from actscope.store import checksums, chunked_writer, chunking, writer
from recordings import output_info

BATCH_SIZE = 4
SMALL_BLOCK = 1500
"""Bytes of a block of checksums in these tests: small recordings have several, and open ones."""


class Model:
    """Two layers: the double of its input (N, 3), and the sum over it."""

    def __init__(self, factor=2.0, fail_at=None, seconds=0.0):
        self.factor = factor
        self.fail_at = fail_at
        self.seconds = seconds
        self.batches = 0


class Step:
    def __init__(self, model, wanted):
        self.model = model
        self.wanted = [tensor.source.path for tensor in wanted]

    def stage(self, arrays):
        return arrays

    def launch(self, inputs):
        model = self.model
        if model.batches == model.fail_at:
            raise RuntimeError("out of memory")
        model.batches += 1
        time.sleep(model.seconds)
        scaled = (inputs[0] * np.float32(model.factor)).astype(np.float32)
        results = {"scaled": scaled, "sum": scaled.sum(axis=1, keepdims=True)}
        return [results[path] for path in self.wanted]

    def fetch(self, launched):
        return Fetched(launched)


class Trace:
    def __init__(self, model):
        self.model = model
        self.layers = [
            LayerInfo(name, "Numpy", 0, (output_info(name, shape, order),))
            for order, (name, shape) in enumerate({"scaled": (3,), "sum": (1,)}.items())
        ]

    def compile(self, wanted, batch_size, objective=None):
        return Step(self.model, wanted)


class Adapter:
    name = "numpy"

    def accepts(self, model):
        return isinstance(model, Model)

    def inputs(self, model):
        return None

    def trace(self, model, example):
        return Trace(model)

    def provenance(self, model):
        return ModelProvenance("m", f"weights {model.factor}", "", "float32", "numpy", "numpy", "c")

    def peak_device_bytes(self, model):
        return None


def rows(samples):
    """The data, shape `(samples, 3)`."""
    return np.random.default_rng(0).random((samples, 3), np.float32)


def extract(model, data, path, **words):
    """`actscope.extract` with this adapter."""
    words = {"batch_size": BATCH_SIZE, **words}
    with mock.patch.object(registry, "adapters", lambda: {"numpy": Adapter()}):
        return actscope.extract(model, data, path, **words)


def stream(data):
    """The same data as an iterable of batches."""
    for start in range(0, len(data), BATCH_SIZE):
        yield data[start : start + BATCH_SIZE]


def record(path, samples, seconds=0.0, *, is_stream=False, **words):
    """What the script does."""
    data = rows(samples)
    return extract(Model(seconds=seconds), stream(data) if is_stream else data, path, **words)


def content(path):
    """The file's bytes, but for when the run began."""
    created = actscope.open(path).provenance["created"].encode()
    return path.read_bytes().replace(created, b"-" * len(created))


if __name__ == "__main__":
    checksums.BLOCK_BYTES = chunking.BLOCK_BYTES = SMALL_BLOCK
    writer.SECONDS_BETWEEN_COMMITS = chunked_writer.SECONDS_BETWEEN_COMMITS = 0.1
    record(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), **json.loads(sys.argv[4]))
