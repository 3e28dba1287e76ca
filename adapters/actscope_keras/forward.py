"""One forward pass of a model with its layers watched: what all backends share.

A backend runs `ForwardPass.run` inside whatever it compiles; here nothing depends on which.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np

from actscope.computing import compute
from actscope.errors import ModelError
from actscope.protocol import Array, Inputs, Objective, Step, Wanted
from actscope.reduction import parse
from actscope_keras.capture import (
    Capture,
    Captured,
    Enough,
    OutputKey,
    capturing,
    flat,
    replaced,
)
from actscope_keras.naming import LayerPaths
from actscope_keras.objective import value_of

OUTPUT = "output"
"""What the model's own output is called among its layers."""

BATCHES_AT_A_TIME = 2
"""How many batches a compiled step computes on a CPU: one takes the cores that the other leaves."""

Made = tuple[Any, Any | None]
"""What is stored of a tensor, and where it may overflow how often it did."""


@dataclass(frozen=True)
class ForwardPass:
    """A model, the names of its layers, and how flat inputs become its arguments.

    Attributes:
        model: the model.
        paths: the paths of its layers.
        inputs: the path of each input, flat, as they are handed over.
        pack: makes flat inputs what the model is called with.
    """

    model: Any
    paths: LayerPaths
    inputs: tuple[str, ...]
    pack: Callable[[Sequence[Any]], Any]

    def run(
        self,
        tensors: Sequence[Any],
        is_reachable: Callable[[Any], bool],
        wanted: Iterable[OutputKey] | None = None,
        *,
        state: Sequence[tuple[Any, Any]] = (),
        watch: Callable[[Captured], Any] | None = None,
        take: Callable[[Captured], None] | None = None,
        objective: Callable[[Any, Any, Capture], None] | None = None,
    ) -> Capture:
        """Call the model in inference mode and return what its layers did.

        Args:
            tensors: the inputs, flat.
            is_reachable: see `Capture`.
            wanted: the tensors to keep; None keeps all.
            state: `(variable, value)` pairs to use instead of the variables' own values.
            watch: see `Capture`.
            take: see `Capture`.
            objective: called with the model's inputs and outputs where the pass ran to its end.

        The model's variables keep their values: changes to state go to a scope that is dropped.
        """
        chosen = None if wanted is None else frozenset(wanted)
        capture = Capture(self.paths, is_reachable, chosen, watch, take)
        scope = keras.StatelessScope(state_mapping=list(state))
        with suppress(Enough), scope, capturing(capture):
            inputs = self.pack(self._keep_inputs(tensors, capture))
            outputs = self._keep_outputs(self.model(inputs, training=False), capture)
            if objective is not None:
                objective(inputs, outputs, capture)
        return capture

    @property
    def output(self) -> str:
        """The path of what the model itself returns."""
        return self.paths.boundary(OUTPUT)

    def _keep_inputs(self, tensors: Sequence[Any], capture: Capture) -> list[Any]:
        return [
            capture.keep(path, self.paths.layers.get(path), [("", tensor)])[0]
            for path, tensor in zip(self.inputs, tensors, strict=True)
        ]

    def _keep_outputs(self, outputs: Any, capture: Capture) -> Any:
        found = [(key, leaf) for key, leaf in flat(outputs) if keras.ops.is_tensor(leaf)]
        kept = capture.keep(self.output, self.model, found)
        capture.returned = replaced(outputs, found, kept)
        return capture.returned


@dataclass(frozen=True)
class Job:
    """All that a step is made from.

    Attributes:
        forward: the pass.
        wanted: what to return of it.
        objective: what the gradients among them are of, or None.
        names: what the inputs are called; they are the first of a step's arrays.
        largest_layer: bytes that the model's largest layer returns for a sample.
        at_hand: whether a tensor's numbers can be looked at as soon as it is there.
    """

    forward: ForwardPass
    wanted: tuple[Wanted, ...]
    objective: Objective | None
    names: tuple[str, ...]
    largest_layer: int
    at_hand: bool = False

    def split(self, arrays: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """A step's arrays as inputs and targets."""
        count = len(self.names)
        return list(arrays[:count]), list(arrays[count:])

    def run(
        self,
        inputs: Sequence[Any],
        is_reachable: Callable[[Any], bool],
        state: Sequence[tuple[Any, Any]] = (),
    ) -> tuple[list[Any], list[Any]]:
        """The pass without gradients, and what is made of it.

        Each tensor is made something of as soon as it is there: a pass that is not compiled need
        not hold all of them until its end.
        """
        masks = dict(zip(self.names, inputs, strict=True))
        made: dict[int, Made] = {}

        def take(captured: Captured) -> None:
            for place in self._places[captured.name]:
                made[place] = self._make(self.wanted[place], captured, captured.tensor, masks)

        self.forward.run(inputs, is_reachable, self._places, state=state, take=take)
        missing = [one.source.path for place, one in enumerate(self.wanted) if place not in made]
        if missing:
            raise ModelError(f"the model did not call {missing[0]!r} this time: leave it out")
        return _apart([made[place] for place in range(len(self.wanted))])

    @cached_property
    def _places(self) -> dict[OutputKey, list[int]]:
        """For each tensor of a layer which of the wanted ones are made from it."""
        places: dict[OutputKey, list[int]] = {}
        for place, tensor in enumerate(self.wanted):
            places.setdefault(_source_of(tensor), []).append(place)
        return places

    def run_watched(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any],
        is_reachable: Callable[[Any], bool],
        watch: Callable[[Captured], Any],
        state: Sequence[tuple[Any, Any]] = (),
    ) -> tuple[Capture, Any]:
        """The whole pass with its tensors watched, and the objective's value, a scalar."""
        values: list[Any] = []
        objective = self.objective or Objective("class")

        def evaluate(packed: Any, outputs: Any, capture: Capture) -> None:
            model = self.forward.model
            values.append(value_of(objective, model, packed, outputs, list(targets), capture))

        capture = self.forward.run(
            inputs,
            is_reachable,
            self._places,
            state=state or own_state(self.forward.model),
            watch=watch,
            objective=evaluate,
        )
        return capture, values[0]

    def finish(
        self,
        capture: Capture,
        inputs: Sequence[Any],
        gradients: Mapping[OutputKey, Any],
    ) -> tuple[list[Any], list[Any]]:
        """What is made of the tensors of a watched pass, and of the gradient for each."""
        masks = dict(zip(self.names, inputs, strict=True))
        captured = {one.name: one for one in capture.tensors}
        made = []
        for tensor in self.wanted:
            source = captured[_source_of(tensor)]
            values = gradients[source.name] if tensor.stored.is_gradient else source.tensor
            made.append(self._make(tensor, source, values, masks))
        return _apart(made)

    def _make(
        self, tensor: Wanted, source: Captured, values: Any, masks: Mapping[str, Any]
    ) -> Made:
        """What is to be stored of a captured tensor.

        Args:
            tensor: what to make.
            source: what was captured.
            values: its values, or those of the gradient with respect to it.
            masks: the model's inputs by name, for reductions that take one of them as a mask.
        """
        mask = masks.get(parse(tensor.stored.reduction).argument, source.mask)
        return compute(keras.ops, tensor, values, mask, at_hand=self.at_hand)


class Backend(Protocol):
    """What differs between JAX, TensorFlow and PyTorch."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """Run the model on the arrays' shapes; every captured tensor has a shape and a dtype."""

    def compile(self, job: Job, arrays: Sequence[Array]) -> Step:
        """A step for inputs and targets shaped like `arrays`."""

    def weight_gradients(self, model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
        """The gradient of `share_of_loss` for each trainable variable, as tensors."""

    def value_of(self, variable: Any) -> Array:
        """A variable's value, not copied where it is in the host's memory; see `in_own_dtype`."""

    def peak_device_bytes(self, model: Any) -> int | None:
        """The most memory in use on the accelerator that the model is on; None where it is not."""

    def device(self) -> str:
        """The device that the model runs on, such as `"cpu"` or an accelerator's name."""


def own_state(model: Any) -> list[tuple[Any, Any]]:
    """The variables with their own values: a loss looks for its regularized weights here."""
    return [(variable, variable.value) for variable in model.variables]


def packer(model: Any, inputs: Inputs) -> Callable[[Sequence[Any]], Any]:
    """How the flat inputs become what the model is called with.

    A functional model gets its own structure; any other gets what `predict` would pass on.
    """
    structure = input_structure(model)
    if structure is None:
        return _as_given(inputs)
    names = declared_names(model)
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


def declared_names(model: Any) -> list[str]:
    """The inputs' names, flat: the keys where the model takes a dict, else the input layers'."""
    structure = input_structure(model)
    names = []
    for steps, tensor in keras.tree.flatten_with_path(structure):
        # The tensor's own name differs from run to run where the input was given none.
        layer_name = tensor._keras_history.operation.name
        names.append(steps[-1] if steps and isinstance(steps[-1], str) else layer_name)
    return names


def _source_of(tensor: Wanted) -> OutputKey:
    return (tensor.source.path, tensor.source.call, tensor.source.index)


def _apart(made: Sequence[Made]) -> tuple[list[Any], list[Any]]:
    """The results, and the counts of those that may overflow."""
    return [result for result, _ in made], [count for _, count in made if count is not None]


def is_own_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is NumPy's own; bfloat16 and float8 are added to it by another package."""
    return dtype.isbuiltin == 1


def in_own_dtype(array: Array) -> Array:
    """The array, C-contiguous; a dtype that NumPy lacks as unsigned integers of its bytes."""
    own = is_own_dtype(array.dtype)
    return np.ascontiguousarray(array if own else array.view(f"u{array.dtype.itemsize}"))
