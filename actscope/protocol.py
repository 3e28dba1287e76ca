"""What passes between the core and an adapter, and what an adapter must do.

Frozen data and three small protocols: the core never sees a framework's own objects except as
opaque values that it hands back to the adapter they came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import numpy.typing as npt

from actscope.dtypes import itemsize

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class InputInfo:
    """One input of a model: its name, the shape of a batch (None where free), and its dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def fixed_batch(declared: Sequence[InputInfo] | None) -> int | None:
    """The batch size of a model that takes no other, as stateful recurrent ones do."""
    return next((info.shape[0] for info in declared or () if info.shape[0] is not None), None)


@dataclass(frozen=True)
class Inputs:
    """One batch of inputs, flat, with how they were handed over.

    Attributes:
        arrays: one array of shape `(N, ...)` per input.
        names: the keys where the inputs came as a dict, else empty.
        single: whether there is one input that was given bare, outside any list or dict.
    """

    arrays: tuple[Array, ...]
    names: tuple[str, ...] = ()
    single: bool = True

    def __len__(self) -> int:
        return len(self.arrays[0])


@dataclass(frozen=True)
class OutputInfo:
    """One tensor that one call of a layer returns, `(path, call, index)`, or what is made of it.

    As a trace lists it, it is what the layer returns. Asked of a step, it may be that tensor
    reduced, in another dtype, or the gradient of the objective with respect to it: then `shape`,
    `dtype` and `axes` are those of the result.

    Attributes:
        path: the layer's path.
        class_name: the layer's class.
        order: position in the order of execution, from 0.
        call: which call of the layer, from 0; above 0 only for shared layers.
        index: which of the tensors that the call returned, from 0.
        key: the name of that tensor where the layer returned a dict, else empty.
        shape: shape of one sample, without the sample axis.
        dtype: logical dtype, such as `"float32"` or `"bfloat16"`.
        axes: a name for each axis of `shape`, such as `("y", "x", "channel")`.
        data_format: `"channels_last"`, `"channels_first"`, or empty where it means nothing.
        reduction: what is computed from the tensor before it travels, such as `"mean"`.
        unreduced_shape: shape of one sample before the reduction; None where there is none.
        is_gradient: whether it is the gradient of the objective with respect to that tensor.
    """

    path: str
    class_name: str
    order: int
    call: int
    index: int
    key: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]
    data_format: str = ""
    reduction: str = "none"
    unreduced_shape: tuple[int, ...] | None = None
    is_gradient: bool = False

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that one sample of this output takes."""
        return prod(self.shape) * itemsize(self.dtype)


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a model, and what it was seen to return.

    Attributes:
        path: names joined by `/` from the model down.
        class_name: the layer's class.
        parameters: how many weights it holds, its own and its sublayers'.
        outputs: one entry per call and tensor; empty where nothing can be recorded.
        note: why nothing can be recorded, or which outputs were left out and why.
    """

    path: str
    class_name: str
    parameters: int
    outputs: tuple[OutputInfo, ...] = ()
    note: str = ""

    @property
    def depth(self) -> int:
        """How far below the model the layer stands; 0 is one level down."""
        return self.path.count("/")

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that one sample of all the layer's outputs takes."""
        return sum(output.bytes_per_sample for output in self.outputs)


class Step(Protocol):
    """A compiled forward pass that returns the chosen outputs of one batch."""

    def launch(self, inputs: Sequence[Array]) -> Any:
        """Start the pass over one batch; return what `fetch` needs, without waiting for it."""

    def fetch(self, launched: Any) -> list[Array]:
        """Wait for a launched pass; return one host array `(N, *shape)` per chosen output.

        The arrays are C-contiguous, in the order of the outputs asked for. A dtype that NumPy
        lacks comes as unsigned integers of the same width.
        """


class Trace(Protocol):
    """A model seen running on a batch of a given shape."""

    @property
    def layers(self) -> Sequence[LayerInfo]:
        """Every layer, in the order of execution, those that never ran at the end."""

    def compile(self, outputs: Sequence[OutputInfo], batch_size: int) -> Step:
        """A step for `batch_size` rows that returns `outputs`, some of those in `layers`."""


@dataclass(frozen=True)
class ModelProvenance:
    """What tells one model from another.

    Attributes:
        model: the model's name.
        weights_sha256: hash over every weight's dtype, shape and bytes, in the model's order.
        configuration: the model's configuration as JSON text, or empty where it has none.
        policy: the dtype policy, such as `"float32"` or `"mixed_bfloat16"`.
        software: versions by name, such as `{"keras": "3.15.1", "jax": "0.10.2"}`.
        framework: such as `"keras"`.
        backend: such as `"jax"`.
        device: such as `"cpu"` or the accelerator's name.
    """

    model: str
    weights_sha256: str
    configuration: str
    policy: str
    framework: str
    backend: str
    device: str
    software: Mapping[str, str] = field(default_factory=dict)


class Adapter(Protocol):
    """What a model framework must do for actscope; found by the entry point `actscope.adapters`.

    An adapter leaves the model as it found it: weights, state and training settings.
    """

    name: str

    def accepts(self, model: object) -> bool:
        """Whether `model` belongs to this framework; must not import the framework to say no."""

    def load(self, source: str, *, backend: str | None, structure_only: bool) -> object:
        """The model in a file, or that `package.module:callable` returns, on `backend`.

        `structure_only` promises that nothing will be computed with its weights.
        """

    def inputs(self, model: Any) -> Sequence[InputInfo] | None:
        """The model's declared inputs, or None where it declares none."""

    def trace(self, model: Any, example: Inputs | None) -> Trace:
        """Run the model once, as abstractly as the framework allows, on `example`'s shapes.

        Without an example on the shapes that the model declares; where it declares none, the
        trace lists the layers without outputs, and cannot be compiled.
        """

    def provenance(self, model: Any) -> ModelProvenance:
        """What identifies the model and where it runs."""
