"""What passes between the core and an adapter, and what an adapter must do.

Frozen data and three small protocols: the core never sees a framework's own objects except as
opaque values that it hands back to the adapter they came from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
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


def input_names(declared: Sequence[InputInfo] | None, given: Inputs) -> list[str]:
    """What the inputs are called: as they were given, else as the model declares them."""
    if given.names:
        return list(given.names)
    if declared:
        return [info.name for info in declared]
    count = len(given.arrays)
    return ["input"] if count == 1 else [f"input_{position}" for position in range(count)]


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
        has_mask: whether the layer returned a mask with it, which says which tokens count.
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
    has_mask: bool = False

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
        is_boundary: whether it is no layer but an input of the model, or the model's own output;
            taken only where a pattern names it.
    """

    path: str
    class_name: str
    parameters: int
    outputs: tuple[OutputInfo, ...] = ()
    note: str = ""
    is_boundary: bool = False

    @property
    def depth(self) -> int:
        """How far below the model the layer stands; 0 is one level down."""
        return self.path.count("/")

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that one sample of all the layer's outputs takes."""
        return sum(output.bytes_per_sample for output in self.outputs)


@dataclass(frozen=True)
class Wanted:
    """One tensor to compute and to store.

    Attributes:
        source: the layer's output, as the trace lists it.
        stored: what is stored of it: itself, reduced, in another dtype, or its gradient.
    """

    source: OutputInfo
    stored: OutputInfo

    @property
    def may_overflow(self) -> bool:
        """Whether finite values may become infinite on the way."""
        return self.stored.dtype == "float16" and self.source.dtype != "float16"


@dataclass(frozen=True)
class Objective:
    """One number per sample, the gradients of which are asked for.

    Attributes:
        kind: `"class"`: the logit of the class in `targets`, or of the strongest class without
            them; `"loss"`: the loss that the model was compiled with; `"function"`.
        function: for `"function"`: called with the model's outputs, and with the targets where
            there are any; returns `(N,)` or one number.
        targets: all samples' targets, which come in batches after the inputs; or None.
    """

    kind: str
    function: Callable[..., Any] | None = None
    targets: Inputs | None = None


@dataclass(frozen=True)
class Fetched:
    """What one pass over a batch of N rows gave, on the host.

    Attributes:
        outputs: one C-contiguous array `(N, *shape)` for each tensor wanted, in their order. A
            dtype that NumPy lacks comes as unsigned integers of the same width.
        overflows: for each tensor wanted that may overflow, in their order, how many values of
            each row became infinite, `(N,)` integers.
    """

    outputs: list[Array]
    overflows: list[Array] = field(default_factory=list)


class Step(Protocol):
    """A compiled pass that returns what is wanted of one batch."""

    def stage(self, arrays: Sequence[Array]) -> Any:
        """Send a batch on its way to the device; return what `launch` needs.

        Called in the thread that reads, while another launches and fetches other batches.

        Args:
            arrays: the inputs, flat, and after them the objective's targets, if there are any; each
                of as many rows as the step was compiled for.
        """

    def launch(self, staged: Any) -> Any:
        """Start the pass over a staged batch; return what `fetch` needs, without waiting for it."""

    def fetch(self, launched: Any) -> Fetched:
        """Wait for a launched pass and bring what it gave to the host."""


class Trace(Protocol):
    """A model seen running on a batch of a given shape."""

    @property
    def layers(self) -> Sequence[LayerInfo]:
        """Every layer, in the order of execution, those that never ran at the end."""

    def compile(
        self, wanted: Sequence[Wanted], batch_size: int, objective: Objective | None = None
    ) -> Step:
        """A step for `batch_size` rows.

        Reductions and casts are those of `actscope.computing.compute`, with the framework's names
        for NumPy's functions.

        Args:
            wanted: what to return; each `source` is one of those in `layers`.
            batch_size: rows of every batch.
            objective: what the gradients among the wanted are of.

        Raises:
            GradientError: the model has no such objective, or its gradients do not exist.
        """


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

    def load(
        self, source: str, *, backend: str | None, structure_only: bool, trusted: bool = False
    ) -> object:
        """The model in a file, or that `package.module:callable` returns, on `backend`.

        `structure_only` promises that nothing will be computed with its weights. Only where it is
        `trusted` may a file run code of its own.
        """

    def inputs(self, model: Any) -> Sequence[InputInfo] | None:
        """The model's declared inputs, or None where it declares none."""

    def trace(self, model: Any, example: Inputs | None) -> Trace:
        """Run the model once, as abstractly as the framework allows, on `example`'s shapes.

        Without an example on the shapes that the model declares; where it declares none, the
        trace lists the layers without outputs, and cannot be compiled.
        """

    def provenance(self, model: Any) -> ModelProvenance:
        """What identifies the model and where it runs.

        May be called in another thread, while the model that was traced is compiled in this one.
        """

    def share_weights(self, model: Any, path: Path) -> None:
        """Take the model's weights from a file; where it is missing, write them there first."""

    def peak_device_bytes(self, model: Any) -> int | None:
        """The most memory that was in use on the accelerator that the model is on.

        None where it is on none: then the batch size that is taken by default is a processor's.
        """

    def weight_gradients(
        self, model: Any, inputs: Inputs, targets: Inputs, *, share: float
    ) -> dict[str, Array]:
        """One batch's part in the gradient of the model's loss, by the path of each weight.

        Args:
            model: a compiled model.
            inputs: one batch.
            targets: what the loss compares the outputs with, in the same number of rows.
            share: the batch's rows as a fraction of all samples.

        Raises:
            GradientError: the model has no loss, or the targets do not fit it.
        """
