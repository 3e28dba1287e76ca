"""Operations of Keras's TensorFlow backend that take longer than they need without oneDNN.

While a graph is built inside `faster_in_this_graph`, others take their places. The values are the
same, but for the order of the additions in a convolution.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import nn, numpy
from tensorflow.python.eager.record import could_possibly_record

from actscope_keras.capture import Operation, Replacement
from actscope_keras.tensorflow_convolutions import Folded, folded_convolution
from actscope_keras.tensorflow_pooling import FEW_CHANNELS, max_pool


@dataclass(eq=False)
class Faster:
    """What was built otherwise in one graph.

    Attributes:
        graph: the graph.
    """

    graph: Any
    _folded: dict[int, tuple[Any, Folded]] = field(default_factory=dict)
    _conditions: list[tuple[Any, Any]] = field(default_factory=list)

    def unfolded(self, folded: Folded) -> Any:
        """The tensor that it stands for, of which `folding_of` can tell again."""
        tensor = folded.unfolded()
        self._folded[id(tensor)] = (tensor, folded)  # held, so that no other has its id
        return tensor

    def folding_of(self, tensor: Any) -> Folded | None:
        """What the tensor is unfolded from, if it is."""
        _, folded = self._folded.get(id(tensor), (None, None))
        return folded

    def is_exact_where(self, condition: Any, tensor: Any) -> None:
        """Note what has to hold for a tensor to be exact."""
        self._conditions.append((condition, tensor))

    def conditions(self, outputs: Sequence[Any]) -> list[Any]:
        """What has to hold for the outputs to be exact; what they do not need is not asked for."""
        needed = _operations_before(outputs) if self._conditions else set()
        return [condition for condition, tensor in self._conditions if tensor.op in needed]


def _operations_before(tensors: Sequence[Any]) -> set[Any]:
    """The operations of a graph that the tensors come from."""
    ahead, found = [tensor.op for tensor in tensors], set()
    while ahead:
        operation = ahead.pop()
        if operation not in found:
            found.add(operation)
            ahead += [tensor.op for tensor in operation.inputs] + operation.control_inputs
    return found


_state = threading.local()


def _built_here() -> Faster | None:
    """The graph that is being built now, where others may be taken; none inside one inside it.

    Nor where a tape records: of equal largest values another would get the gradient.
    """
    faster: Faster | None = getattr(_state, "faster", None)
    is_other = faster is None or tf.compat.v1.get_default_graph() is not faster.graph
    return None if is_other or could_possibly_record() else faster


def are_slow() -> bool:
    """Whether TensorFlow computes on a CPU and without oneDNN."""
    try:  # not of its public interface, so that it may go
        from tensorflow.python.util import _pywrap_util_port

        has_onednn = _pywrap_util_port.IsMklEnabled()
    except (ImportError, AttributeError):
        return False
    return not (has_onednn or tf.config.list_logical_devices("GPU"))


@contextmanager
def faster_in_this_graph() -> Iterator[Faster]:
    """Take faster operations in the graph that is being built in this thread."""
    before = getattr(_state, "faster", None)
    _state.faster = built = Faster(tf.compat.v1.get_default_graph())
    try:
        yield built
    finally:
        _state.faster = before


def faster_operations() -> Iterator[Replacement]:
    """What to replace while captures are under way."""
    yield nn, "conv", _convolving
    yield numpy, "add", _adding
    yield nn, "relu", _rectifying
    yield nn, "max_pool", _pooling


def _convolving(original: Operation) -> Operation:
    """A convolution that is folded where it has few channels."""

    @wraps(original)
    def conv(
        inputs: Any,
        kernel: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
    ) -> Any:
        built, places = _built_here(), _both(strides)
        if (
            built is None
            or places is None
            or not _is_suited(inputs, data_format)
            or not _is_suited(kernel)
            or kernel.shape[-2] != inputs.shape[-1]
            or padding not in ("valid", "same")
            or _both(dilation_rate) != (1, 1)
            or (folded := folded_convolution(inputs, kernel, places, padding)) is None
        ):
            return original(inputs, kernel, strides, padding, data_format, dilation_rate)
        # Where finite values have no finite sum, which is rare, the exact function takes over too.
        built.is_exact_where(tf.math.is_finite(tf.reduce_sum(inputs)), folded.values)
        return built.unfolded(folded)

    return conv


def _adding(original: Operation) -> Operation:
    """A sum that stays folded where a bias is added to what is."""

    @wraps(original)
    def add(x1: Any, x2: Any) -> Any:
        built = _built_here()
        folded = built.folding_of(x1) if built else None
        if not built or not folded or not _is_bias(x2, folded):
            return original(x1, x2)
        return built.unfolded(folded.plus(tf.reshape(x2, [-1])))

    return add


def _rectifying(original: Operation) -> Operation:
    """A `relu` that stays folded."""

    @wraps(original)
    def relu(x: Any) -> Any:
        built = _built_here()
        folded = built.folding_of(x) if built else None
        return built.unfolded(folded.rectified()) if built and folded else original(x)

    return relu


def _pooling(original: Operation) -> Operation:
    """Max pooling of few channels, one axis after the other."""

    @wraps(original)
    def pooled(
        inputs: Any,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
    ) -> Any:
        sizes = _both(pool_size)
        steps = sizes if strides is None else _both(strides)
        if (
            not _built_here()
            or sizes is None
            or steps is None
            or not _is_suited(inputs, data_format)
            or inputs.shape[-1] > FEW_CHANNELS
            or padding not in ("valid", "same")
        ):
            return original(inputs, pool_size, strides, padding, data_format)
        return max_pool(inputs, sizes, steps, padding)

    return pooled


def _is_suited(values: Any, data_format: str | None = "channels_last") -> bool:
    """Whether it is a tensor of float32 with four axes of known lengths, none 0, channels last."""
    return bool(
        tf.is_tensor(values)
        and values.dtype == tf.float32
        and values.shape.rank == 4
        and values.shape.is_fully_defined()
        and values.shape.num_elements() > 0
        and (data_format or keras.config.image_data_format()) == "channels_last"
    )


def _is_bias(values: Any, folded: Folded) -> bool:
    """Whether the values are one per channel, alone or with axes to be broadcast."""
    filters = folded.shape[-1]
    return bool(
        tf.is_tensor(values)
        and values.dtype == tf.float32
        and values.shape.as_list()[-1:] == [filters]
        and values.shape.num_elements() == filters
    )


def _both(given: Any) -> tuple[int, int] | None:
    """What holds for height and width, given as one number or two; None where it is neither."""
    pair = tuple(given) if isinstance(given, tuple | list) else (given, given)
    return pair if len(pair) == 2 and all(type(one) is int for one in pair) else None
