"""One forward pass of a model with its layers watched: what all backends share.

A backend runs `ForwardPass.run` inside whatever it compiles; here nothing depends on which.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from actscope.protocol import Array, Inputs, Step
from actscope_keras.capture import Capture, Enough, OutputKey, capturing
from actscope_keras.naming import LayerPaths


@dataclass(frozen=True)
class ForwardPass:
    """A model, the names of its layers, and how flat inputs become its arguments."""

    model: Any
    paths: LayerPaths
    pack: Callable[[Sequence[Any]], Any]

    def run(
        self,
        tensors: Sequence[Any],
        is_reachable: Callable[[Any], bool],
        wanted: Iterable[OutputKey] | None = None,
        state: Sequence[tuple[Any, Any]] = (),
    ) -> Capture:
        """Call the model in inference mode and return what its layers did.

        Args:
            tensors: the inputs, flat.
            is_reachable: see `Capture`.
            wanted: the tensors to keep; None keeps all.
            state: `(variable, value)` pairs to use instead of the variables' own values.

        The model's variables keep their values: changes to state go to a scope that is dropped.
        """
        chosen = None if wanted is None else frozenset(wanted)
        capture = Capture(self.paths, is_reachable, chosen)
        scope = keras.StatelessScope(state_mapping=list(state))
        with suppress(Enough), scope, capturing(capture):
            self.model(self.pack(tensors), training=False)
        return capture


class Backend(Protocol):
    """What differs between JAX, TensorFlow and PyTorch."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """Run the model on the arrays' shapes; every captured tensor has a shape and a dtype."""

    def compile(
        self, forward: ForwardPass, wanted: Sequence[OutputKey], arrays: Sequence[Array]
    ) -> Step:
        """A step for inputs shaped like `arrays` that returns the wanted tensors in that order."""

    def device(self) -> str:
        """The device that the model runs on, such as `"cpu"` or an accelerator's name."""


def packer(model: Any, inputs: Inputs) -> Callable[[Sequence[Any]], Any]:
    """How the flat inputs become what the model is called with.

    A functional model gets its own structure; any other gets what `predict` would pass on.
    """
    structure = input_structure(model)
    if structure is None:
        return _as_given(inputs)
    names = input_names(model)
    order = [inputs.names.index(name) for name in names] if inputs.names else range(len(names))

    def pack(tensors: Sequence[Any]) -> Any:
        return keras.tree.pack_sequence_as(structure, [tensors[position] for position in order])

    return pack


def _as_given(inputs: Inputs) -> Callable[[Sequence[Any]], Any]:
    if inputs.names:
        return lambda tensors: dict(zip(inputs.names, tensors, strict=True))
    if inputs.single:
        return lambda tensors: tensors[0]
    return list


def input_structure(model: Any) -> Any:
    """The nested structure of a functional model's inputs, or None for any other model."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    return inputs[0] if isinstance(model, keras.Sequential) else model.input


def input_names(model: Any) -> list[str]:
    """The inputs' names, flat: the keys where the model takes a dict, else the input layers'."""
    structure = input_structure(model)
    names = []
    for steps, tensor in keras.tree.flatten_with_path(structure):
        # The tensor's own name differs from run to run where the input was given none.
        layer_name = tensor._keras_history.operation.name
        names.append(steps[-1] if steps and isinstance(steps[-1], str) else layer_name)
    return names


def in_order(capture: Capture, wanted: Sequence[OutputKey]) -> list[Any]:
    """The captured tensors in the order asked for."""
    tensors = {captured.name: captured.tensor for captured in capture.tensors}
    return [tensors[name] for name in wanted]


def is_own_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is NumPy's own; bfloat16 and float8 are added to it by another package."""
    return dtype.isbuiltin == 1


def in_own_dtype(array: Array) -> Array:
    """The array, C-contiguous; a dtype that NumPy lacks as unsigned integers of its bytes."""
    own = is_own_dtype(array.dtype)
    return np.ascontiguousarray(array if own else array.view(f"u{array.dtype.itemsize}"))
