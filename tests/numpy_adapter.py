"""An adapter for models that are lists of named NumPy functions: the core knows no framework."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from actscope.axes import channels_last
from actscope.computing import compute
from actscope.errors import GradientError, ModelError
from actscope.protocol import (
    Fetched,
    InputInfo,
    LayerInfo,
    ModelProvenance,
    OutputInfo,
)
from actscope.reducing import NUMPY


@dataclass
class Chain:
    """Functions of arrays, each given what the one before returned."""

    functions: dict
    input_shape: tuple = (6,)
    weights: list = field(default_factory=list)

    def run(self, inputs):
        results, values = {}, inputs
        for name, function in self.functions.items():
            values = results[name] = np.asarray(function(values), np.float32)
        return results


class NumpyStep:
    def __init__(self, model, wanted):
        self.model = model
        self.wanted = wanted

    def stage(self, arrays):
        return arrays

    def launch(self, arrays):
        return {"input": arrays[0], **self.model.run(arrays[0])}

    def fetch(self, launched):
        outputs, overflows = [], []
        for wanted in self.wanted:
            with np.errstate(over="ignore"):
                result, overflow = compute(NUMPY, wanted, launched[wanted.source.path])
            outputs.append(np.ascontiguousarray(result))
            overflows += [] if overflow is None else [overflow]
        return Fetched(outputs, overflows)


class NumpyTrace:
    def __init__(self, model, example):
        self.model = model
        data = example.arrays[0] if example else np.zeros((3, *model.input_shape), np.float32)
        try:
            seen = {"input": data, **model.run(data)}
        except Exception as error:
            raise ModelError(f"the model failed: {error}") from error
        self.layers = [
            LayerInfo(
                name,
                "Function" if order else "Input",
                0,
                (
                    OutputInfo(
                        name,
                        "Function",
                        order,
                        0,
                        0,
                        "",
                        array.shape[1:],
                        str(array.dtype),
                        channels_last(array.ndim - 1),
                    ),
                ),
                is_boundary=order == 0,
            )
            for order, (name, array) in enumerate(seen.items())
        ]

    def compile(self, wanted, batch_size, objective=None):
        if objective is not None:
            raise GradientError("plain functions have no gradients")
        return NumpyStep(self.model, wanted)


class NumpyAdapter:
    name = "numpy"

    def accepts(self, model):
        return isinstance(model, Chain)

    def load(self, source, *, backend, structure_only, trusted=False):
        raise ModelError(f"{source} cannot be loaded: functions come from Python")

    def inputs(self, model):
        return [InputInfo("input", (None, *model.input_shape), "float32")]

    def trace(self, model, example):
        return NumpyTrace(model, example)

    def share_weights(self, model, path):
        pass

    def peak_device_bytes(self, model):
        return None

    def weight_gradients(self, model, inputs, targets, *, share):
        raise GradientError("plain functions have no gradients")

    def provenance(self, model):
        digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.weights))
        return ModelProvenance(
            "chain", digest.hexdigest(), "", "float32", "numpy", "numpy", "cpu", {}
        )
