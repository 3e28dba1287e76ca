"""Runs a model once to see its layers, and compiles steps that return what is wanted of them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import keras
import numpy as np

from actscope.axes import shape_text
from actscope.errors import ActscopeError, ModelError, first_line
from actscope.protocol import (
    Array,
    InputInfo,
    Inputs,
    Objective,
    Step,
    Wanted,
    fixed_batch,
    input_names,
)
from actscope_keras.describing import describe, describe_unseen
from actscope_keras.forward import (
    Backend,
    ForwardPass,
    Job,
    declared_names,
    input_structure,
    packer,
)
from actscope_keras.naming import LayerPaths
from actscope_keras.objective import build_loss, check, packed

ROWS_TRACED = 3
"""Rows in a trace: more than one, so that the sample axis is told from a broadcast one."""

FREE_AXIS = 64
"""The length given to an input's free axis where there are no data to say."""

_BACKENDS = {"jax": "JaxBackend", "tensorflow": "TensorFlowBackend", "torch": "TorchBackend"}


def declared_inputs(model: Any) -> list[InputInfo] | None:
    """The inputs of a functional model, or those that any other was built for; None if unknown."""
    if input_structure(model) is not None:
        return [
            InputInfo(name, tuple(tensor.shape), str(tensor.dtype))
            for name, tensor in zip(declared_names(model), model.inputs, strict=True)
        ]
    shape = (model.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, tuple) or not shape:
        return None
    if any(isinstance(length, tuple | list) for length in shape):
        return None
    return [InputInfo("inputs", (None, *shape[1:]), str(model.input_dtype))]


def blank(model: Any) -> Inputs | None:
    """Inputs of zeros in the shapes that the model declares; None where it declares none."""
    declared = declared_inputs(model)
    if declared is None:
        return None
    arrays = tuple(
        np.zeros((ROWS_TRACED, *(n or FREE_AXIS for n in info.shape[1:])), info.dtype)
        for info in declared
    )
    return Inputs(arrays, single=len(arrays) == 1)


def running_backend() -> Backend:
    """The module for the backend that Keras runs on."""
    name = keras.config.backend()
    backend: Backend = getattr(import_module(f"actscope_keras.{name}"), _BACKENDS[name])()
    return backend


class KerasTrace:
    """A model that was run once; see `actscope.protocol.Trace`."""

    def __init__(self, model: Any, example: Inputs | None, *, known: bool) -> None:
        self._backend = running_backend()
        self._example = example
        if example is None:
            self.layers = describe_unseen(LayerPaths(model))
            return
        self._rows_traced = fixed_batch(declared_inputs(model)) or ROWS_TRACED
        arrays = [_rows(array, self._rows_traced) for array in example.arrays]
        pack = packer(model, example)
        with _model_errors(arrays, known=known):
            if not all(layer.built for layer in model._flatten_layers()):
                model(pack(arrays), training=False)
            paths = LayerPaths(model)
            self._names = tuple(input_names(declared_inputs(model), example))
            inputs = tuple(paths.of_input(name) for name in self._names)
            self._forward = ForwardPass(model, paths, inputs, pack)
            capture = self._backend.trace(self._forward, arrays)
            self._returned = keras.tree.map_structure(_zeros_like, capture.returned)
        output = self._forward.output
        self.layers = describe(capture, self._rows_traced, inputs, output)
        self._outputs = next((i.outputs for i in self.layers if i.path == output), ())

    def compile(
        self, wanted: Sequence[Wanted], batch_size: int, objective: Objective | None = None
    ) -> Step:
        """A step that returns what is wanted of `batch_size` rows."""
        if self._example is None:
            raise ModelError("a model cannot be compiled without an example of its inputs")
        largest = max((layer.bytes_per_sample for layer in self.layers), default=0)
        job = Job(self._forward, tuple(wanted), objective, self._names, largest)
        inputs = [_repeated(array, batch_size) for array in self._example.arrays]
        targets: list[Array] = []
        if objective is not None:
            check(objective, self._forward.model, self._outputs)
            given = objective.targets
            targets = [_repeated(array, batch_size) for array in given.arrays] if given else []
        with _model_errors(inputs, known=True):
            if objective is not None and objective.kind == "loss":
                rows = [_repeated(array, self._rows_traced) for array in targets]
                build_loss(self._forward.model, self._returned, packed(given, rows))
            return self._backend.compile(job, [*inputs, *targets])


@contextmanager
def _model_errors(arrays: Iterable[Array], *, known: bool) -> Iterator[None]:
    """Turns whatever a model raises into one error that names the data's shapes."""
    try:
        yield
    except ActscopeError:
        raise
    except Exception as error:
        shapes = ", ".join(shape_text(array.shape[1:]) for array in arrays)
        source = "data" if known else "blank inputs"
        raise ModelError(
            f"the model failed on {source} of shape {shapes}: "
            f"{type(error).__name__}: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """What the error says, without the sentence that Keras puts before it."""
    preamble, _, rest = str(error).partition("\n")
    if preamble.startswith("Exception encountered when calling") and rest.strip():
        return first_line(Exception(rest))
    return first_line(error)


def _rows(array: Array, count: int) -> Array:
    return np.ascontiguousarray(np.resize(array[:count], (count, *array.shape[1:])))


def _zeros_like(tensor: Any) -> Array | None:
    return np.zeros(tuple(tensor.shape), np.float32) if keras.ops.is_tensor(tensor) else None


def _repeated(array: Array, count: int) -> Array:
    """An array of `count` rows that takes no memory: only its shape and dtype are looked at."""
    return np.broadcast_to(np.asarray(array[:1]), (count, *array.shape[1:]))
