"""Operations of Keras's PyTorch backend that take longer than they need, and what is done instead.

For as long as a capture is under way, and in its thread only. The values are the same.
"""

from collections.abc import Iterator
from functools import partial, wraps
from typing import Any

import keras
from keras.src.backend import nn, numpy

from actscope_keras.capture import (
    Operation,
    Replacement,
    current_capture,
    layer_under_way,
)
from actscope_keras.torch_in_place import OwnResult, add_in_place, can_hold_sum
from actscope_keras.torch_letting_go import letting_go
from actscope_keras.torch_pooling import is_slow, max_pool

COPYING = "_transpose_spatial_inputs"
"""What Keras's PyTorch backend moves the channels with, before each convolution and pooling."""


def faster_operations() -> Iterator[Replacement]:
    """What to replace while captures are under way."""
    yield from letting_go()
    if hasattr(nn, COPYING):  # Keras's own, which it may drop
        yield nn, COPYING, _viewing
    yield nn, "max_pool", _pooling
    own = OwnResult()
    for owner, name in ((nn, "conv"), (nn, "depthwise_conv"), (numpy, "matmul"), (numpy, "einsum")):
        yield owner, name, partial(_noting, own)
    yield numpy, "add", partial(_adding, own)
    yield nn, "relu", partial(_rectifying, own)


def _viewing(original: Operation) -> Operation:
    """The channels moved as a view, where Keras, as of 3.15, copies them.

    ResNet50 spends 4 of 10 seconds on these copies (see benchmarks/RESULTS.md). They stay for
    integers, whose pooling has no form for views, and on devices other than these two.
    """

    @wraps(original)
    def channels_first(inputs: Any) -> Any:
        if (
            current_capture() is None
            or not inputs.is_floating_point()
            or inputs.device.type not in ("cpu", "cuda")
        ):
            return original(inputs)
        return keras.ops.moveaxis(inputs, -1, 1)

    return channels_first


def _pooling(original: Operation) -> Operation:
    """Max pooling that does not take PyTorch's own where that is slow."""

    @wraps(original)
    def pooled(
        inputs: Any,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
    ) -> Any:
        form = data_format or keras.config.image_data_format()
        if current_capture() is None or not is_slow(inputs, form):
            return original(inputs, pool_size, strides, padding, data_format)
        return max_pool(inputs, pool_size, strides, padding)

    return pooled


def _noting(own: OwnResult, original: Operation) -> Operation:
    """An operation whose result is noted as the layer's own."""

    @wraps(original)
    def operation(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        own.note(layer_under_way(), result)
        return result

    return operation


def _adding(own: OwnResult, original: Operation) -> Operation:
    """A sum, in place where it is that of a layer's own result and its bias."""

    @wraps(original)
    def add(x1: Any, x2: Any) -> Any:
        if not own.takes_bias(layer_under_way(), x1):
            return original(x1, x2)
        bias = keras.ops.convert_to_tensor(x2)
        return add_in_place(x1, bias) if can_hold_sum(x1, bias) else original(x1, bias)

    return add


def _rectifying(own: OwnResult, original: Operation) -> Operation:
    """`relu`, in place where it is the activation of the layer whose own result it takes."""

    @wraps(original)
    def relu(x: Any) -> Any:
        layer = layer_under_way()
        is_activation = getattr(layer, "activation", None) is keras.activations.relu
        return x.relu_() if is_activation and own.is_of(layer, x) else original(x)

    return relu
