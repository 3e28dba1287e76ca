"""PyTorch on a CPU: a layer's bias and `relu` in place, since nobody else holds what they change.

A convolution's result becomes the layer's output by way of two more tensors as large. To fill them
takes a third of a small ConvNet's pass (see benchmarks/RESULTS.md).
"""

import math
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import keras
import torch

LAYERS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
)
"""Compute one result, add a bias, and apply an activation; they themselves keep nothing of it.

A class made from one of them may keep it, and is none of them.
"""

_KERAS = str(Path(keras.__file__).parent) + os.sep

FEW_CHANNELS = 16
"""Fewer than a vector register holds; PyTorch (2.13) adds these one after another."""

ROWS_AT_A_TIME = 64
"""At most so many rows of few channels are added as if they were one."""


class OwnResult(threading.local):
    """What the layer under way in this thread has computed last, if nobody else can hold it."""

    _layer: weakref.ref[Any] | None = None
    _tensor: weakref.ref[torch.Tensor] | None = None
    _awaits_bias: bool = False

    def note(self, layer: Any, tensor: torch.Tensor) -> None:
        """Note what a layer, or none, has just computed.

        Not where gradients are wanted, nor of a tensor that stands for others in a loop.
        """
        if (
            _keeps_nothing(layer)
            and torch.is_inference_mode_enabled()
            and tensor.device.type == "cpu"
            and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        ):
            self._layer, self._tensor = weakref.ref(layer), weakref.ref(tensor)
            self._awaits_bias = layer.bias is not None and getattr(layer, "use_bias", True)

    def is_of(self, layer: Any, tensor: Any) -> bool:
        """Whether the tensor is what this layer was noted to have computed."""
        if layer is None or self._layer is None or self._tensor is None:
            return False
        return self._layer() is layer and self._tensor() is tensor

    def takes_bias(self, layer: Any, tensor: Any) -> bool:
        """Whether what is added to the tensor is the layer's bias; asked once for each sum.

        A later sum with it is that of an activation.
        """
        if not self.is_of(layer, tensor):
            return False
        was_awaited, self._awaits_bias = self._awaits_bias, False
        return was_awaited


def _keeps_nothing(layer: Any) -> bool:
    """Whether all code between the result and the layer's output is Keras's own."""
    if type(layer) not in LAYERS or {"call", "convolution_op"} & vars(layer).keys():
        return False
    return layer.activation is None or is_own_activation(layer.activation)


def is_own_activation(function: Any) -> bool:
    """Whether it is one of Keras's activations, by the name of its module and by its code.

    The name alone can be given to any function; the code alone is Keras's in a layer's `__call__`
    too, which comes to the code of whoever wrote the layer.
    """
    module = getattr(function, "__module__", None)
    is_named_so = isinstance(module, str) and module.startswith("keras.src.activations.")
    return is_named_so and is_of_keras(function)


def is_of_keras(function: Any) -> bool:
    """Whether the code that runs is Keras's own, whatever names a function was given."""
    code = getattr(function, "__code__", None)  # none of functions in C and of callable objects
    return code is not None and code.co_filename.startswith(_KERAS)


def can_hold_sum(tensor: torch.Tensor, bias: torch.Tensor) -> bool:
    """Whether the sum has the tensor's shape and dtype."""
    return bool(
        torch.result_type(tensor, bias) == tensor.dtype
        and bias.device == tensor.device
        and torch.broadcast_shapes(tensor.shape, bias.shape) == tensor.shape
    )


def add_in_place(tensor: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The tensor, with a bias added that has its last axis, or is broadcast to it otherwise."""
    channels = tensor.shape[-1]
    is_per_channel = bias.shape[-1:] == (channels,) and bias.numel() == channels
    if is_per_channel and channels < FEW_CHANNELS and tensor.numel() and tensor.is_contiguous():
        rows = math.gcd(tensor.numel() // channels, ROWS_AT_A_TIME)
        tensor.view(-1, rows * channels).add_(bias.reshape(-1).repeat(rows))
        return tensor
    return tensor.add_(bias)
