"""The adapter itself: loads and describes Keras models, and traces and compiles them."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from actscope.errors import ModelError, first_line
from actscope.protocol import Array, InputInfo, Inputs, LayerInfo, ModelProvenance, OutputInfo, Step
from actscope.store.schema import STORABLE
from actscope_keras import backend as backends

if TYPE_CHECKING:
    from actscope_keras.capture import Capture, Captured
    from actscope_keras.forward import Backend

ROWS_TRACED = 3
"""Rows in a trace: more than one, so that the sample axis is told from a broadcast one."""

FREE_AXIS = 64
"""The length given to an input's free axis where there are no data to say."""

_BACKENDS = {"jax": "JaxBackend", "tensorflow": "TensorFlowBackend", "torch": "TorchBackend"}


class KerasAdapter:
    """Makes Keras 3 models known to actscope, on whichever backend Keras runs."""

    name = "keras"

    def accepts(self, model: object) -> bool:
        """Whether it is a Keras model; without Keras there can be none."""
        keras = sys.modules.get("keras")
        return keras is not None and isinstance(model, keras.Model)

    def load(self, source: str, *, backend: str | None, structure_only: bool) -> object:
        """The model in a `.keras` file, or that `package.module:callable` returns."""
        backends.choose(backend)
        return import_module("actscope_keras.loading").load(source, structure_only=structure_only)

    def inputs(self, model: Any) -> list[InputInfo] | None:
        """The declared inputs of a functional model, or those that any other was built for."""
        from actscope_keras.forward import input_names, input_structure

        if input_structure(model) is not None:
            return [
                InputInfo(name, tuple(tensor.shape), str(tensor.dtype))
                for name, tensor in zip(input_names(model), model.inputs, strict=True)
            ]
        shape = (model.get_build_config() or {}).get("input_shape")
        if not isinstance(shape, tuple) or not shape:
            return None
        if any(isinstance(length, tuple | list) for length in shape):
            return None
        return [InputInfo("inputs", (None, *shape[1:]), str(model.input_dtype))]

    def trace(self, model: Any, example: Inputs | None) -> "KerasTrace":
        """Run the model once on a few rows of `example`, abstractly where the backend can."""
        return KerasTrace(model, example or self._blank(model), known=example is not None)

    def _blank(self, model: Any) -> Inputs | None:
        declared = self.inputs(model)
        if declared is None:
            return None
        arrays = tuple(
            np.zeros((ROWS_TRACED, *(n or FREE_AXIS for n in info.shape[1:])), info.dtype)
            for info in declared
        )
        return Inputs(arrays, single=len(arrays) == 1)

    def provenance(self, model: Any) -> ModelProvenance:
        """What identifies the model and where it runs."""
        import keras

        name = keras.config.backend()
        return ModelProvenance(
            model=str(model.name),
            weights_sha256=_hash_of(model.weights),
            configuration=_configuration(model),
            policy=str(getattr(model.dtype_policy, "name", model.dtype_policy)),
            framework="keras",
            backend=name,
            device=_backend(name).device(),
            software={"keras": keras.__version__, name: sys.modules[name].__version__}
            | ({"jaxlib": version("jaxlib")} if name == "jax" else {}),
        )


class KerasTrace:
    """A model that was run once; see `actscope.protocol.Trace`."""

    def __init__(self, model: Any, example: Inputs | None, *, known: bool) -> None:
        import keras

        from actscope_keras.forward import ForwardPass, packer
        from actscope_keras.naming import LayerPaths

        self._backend = _backend(keras.config.backend())
        self._example = example
        if example is None:
            self.layers = _undescribed(LayerPaths(model))
            return
        self._rows_traced = fixed_batch(model) or ROWS_TRACED
        arrays = [_rows(array, self._rows_traced) for array in example.arrays]
        pack = packer(model, example)
        with _model_errors(arrays, known=known):
            if not all(layer.built for layer in model._flatten_layers()):
                model(pack(arrays), training=False)
            self._forward: ForwardPass = ForwardPass(model, LayerPaths(model), pack)
            capture = self._backend.trace(self._forward, arrays)
        self.layers = _describe(capture, self._rows_traced)

    def compile(self, outputs: Sequence[OutputInfo], batch_size: int) -> Step:
        """A step that returns `outputs` of `batch_size` rows."""
        if self._example is None:
            raise ModelError("a model cannot be compiled without an example of its inputs")
        wanted = [(output.path, output.call, output.index) for output in outputs]
        # Only shapes and dtypes count here: these take no memory.
        arrays = [np.broadcast_to(a[:1], (batch_size, *a.shape[1:])) for a in self._example.arrays]
        with _model_errors(arrays, known=True):
            return self._backend.compile(self._forward, wanted, arrays)


def fixed_batch(model: Any) -> int | None:
    """The batch size of a model that takes no other, as stateful recurrent ones do."""
    inputs = getattr(model, "inputs", None) or ()
    return next((tensor.shape[0] for tensor in inputs if tensor.shape[0] is not None), None)


def _backend(name: str) -> "Backend":
    module = import_module(f"actscope_keras.{name}")
    backend: Backend = getattr(module, _BACKENDS[name])()
    return backend


class _model_errors:  # noqa: N801 - used like a function
    """Turns whatever a model raises into one error that names the data's shapes."""

    def __init__(self, arrays: Iterable[Array], *, known: bool) -> None:
        self._shapes = ", ".join(str(("N", *array.shape[1:])).replace("'", "") for array in arrays)
        self._known = known

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception):
            source = "data" if self._known else "blank inputs"
            raise ModelError(
                f"the model failed on {source} of shape {self._shapes}: "
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


def _undescribed(paths: Any) -> list[LayerInfo]:
    note = "the model declares no input shape, so its layers' shapes are known only with data"
    return [_layer(paths, layer, (), note) for layer in paths.layers]


def _layer(paths: Any, layer: Any, outputs: tuple[OutputInfo, ...], note: str) -> LayerInfo:
    return LayerInfo(
        path=paths.path_of(layer),
        class_name=type(layer).__name__,
        parameters=sum(prod(weight.shape) for weight in getattr(layer, "weights", ())),
        outputs=outputs,
        note=note,
    )


def _describe(capture: "Capture", rows: int) -> list[LayerInfo]:
    """The layers in the order in which they first returned, those that never did at the end."""
    import keras

    outputs, left_out = _outputs(capture, rows)
    layers = []
    for layer in capture.paths.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        path = capture.paths.path_of(layer)
        note = left_out.get(path, "")
        if path not in outputs and not note:
            note = _why_nothing(path, layer, capture)
        layers.append(_layer(capture.paths, layer, tuple(outputs.get(path, ())), note))
    last = len(capture.tensors)
    return sorted(layers, key=lambda info: info.outputs[0].order if info.outputs else last)


def _why_nothing(path: str, layer: Any, capture: "Capture") -> str:
    from actscope_keras.capture import LOOPS

    by_path = {capture.paths.path_of(entry): entry for entry in capture.paths.layers}
    steps = path.split("/")
    above = ["/".join(steps[:depth]) for depth in range(1, len(steps))]
    looping = [parent for parent in above if isinstance(by_path.get(parent), LOOPS)]
    enclosing = capture.hidden.get(path) or (looping[0] if looping else "")
    if enclosing:
        return f"it runs inside a loop: record the layer around it, {enclosing!r}"
    if path in capture.hidden:
        return "it runs inside a loop of the model itself, which nothing can leave"
    return f"this {type(layer).__name__} is not called when the model runs"


def _outputs(capture: "Capture", rows: int) -> tuple[dict[str, list[OutputInfo]], dict[str, str]]:
    """What can be recorded of a pass over `rows` samples, and why the rest cannot, by path."""
    import keras

    outputs: dict[str, list[OutputInfo]] = {}
    left_out = dict(capture.left_out)
    data_format = keras.config.image_data_format()
    for order, captured in enumerate(capture.tensors):
        shape = tuple(captured.tensor.shape)
        dtype = keras.backend.standardize_dtype(captured.tensor.dtype)
        reason = _why_not(shape, dtype, rows)
        if reason:
            left_out[captured.path] = reason
            continue
        data_format = _data_format(captured, len(shape) - 1, data_format)
        outputs.setdefault(captured.path, []).append(
            _output(captured, order, shape, dtype, data_format)
        )
    return outputs, left_out


def _why_not(shape: tuple[int | None, ...], dtype: str, rows: int) -> str:
    if not shape or shape[0] != rows:
        return f"its output of shape {shape} has no sample axis"
    if None in shape:
        return f"its output's shape {shape} changes with the data"
    if 0 in shape:
        return f"its output of shape {shape} is empty"
    return "" if dtype in STORABLE else f"its output's dtype {dtype} cannot be stored"


def _data_format(captured: "Captured", rank: int, inherited: str) -> str:
    from actscope_keras.axes import own_data_format

    return own_data_format(captured.layer, rank) or inherited


def _output(
    captured: "Captured", order: int, shape: tuple[int, ...], dtype: str, data_format: str
) -> OutputInfo:
    from actscope_keras.axes import axis_names

    axes = axis_names(captured.layer, captured.enclosing, len(shape) - 1, data_format)
    return OutputInfo(
        path=captured.path,
        class_name=type(captured.layer).__name__,
        order=order,
        call=captured.call,
        index=captured.index,
        key=captured.key,
        shape=shape[1:],
        dtype=dtype,
        axes=tuple(axes),
        data_format=data_format if "channel" in axes and len(axes) > 1 else "",
    )


def _hash_of(weights: Iterable[Any]) -> str:
    import keras

    digest = hashlib.sha256()
    for weight in weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{weight.dtype}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _configuration(model: Any) -> str:
    """The model's configuration as JSON; a subclassed model may have none."""
    attempt: Callable[[], str] = model.to_json
    try:
        return attempt()
    except Exception:
        return ""
