"""PyTorch on a CPU: the largest value of pictures of few channels, many times as fast.

Where channels come last, PyTorch's own pooling (2.13) takes one value after another unless there
are as many channels as a vector register holds: 512 pictures of 24x24x6 in 2x2 take it 4.7 ms,
and 0.4 as maxima of shifted pictures, one axis after the other (see benchmarks/RESULTS.md).
"""

from functools import reduce
from typing import Any

import torch

from actscope_keras.padding import same_padding

FEW_CHANNELS = 16
"""From more on PyTorch's own is as fast."""


def is_slow(inputs: Any, data_format: str) -> bool:
    """Whether pooling is better done here.

    Gradients are not: those of equal largest values would go to all of them and not to the first.

    Args:
        inputs: what is to be pooled.
        data_format: `"channels_last"` or `"channels_first"`.
    """
    return (
        isinstance(inputs, torch.Tensor)
        and data_format == "channels_last"
        and inputs.device.type == "cpu"
        and inputs.is_floating_point()
        and not torch.is_grad_enabled()
        and 0 < inputs.shape[-1] <= FEW_CHANNELS
    )


def max_pool(inputs: torch.Tensor, pool_size: Any, strides: Any, padding: str) -> torch.Tensor:
    """The largest values of windows, as `keras.ops.max_pool` has them; NaN where one holds it.

    Args:
        inputs: floating-point values `(N, *positions, channels)`.
        pool_size: of a window, one number or one per axis of positions.
        strides: from a window to the next, likewise; None for as much as the size.
        padding: `"valid"` or `"same"`.
    """
    for axis in range(1, inputs.ndim - 1):
        size = _of_axis(pool_size, axis)
        step = size if strides is None else _of_axis(strides, axis)
        if padding == "same":
            inputs = _padded(inputs, axis, size, step)
        inputs = reduce(torch.maximum, inputs.unfold(axis, size, step).unbind(-1))
    return inputs


def _of_axis(given: Any, axis: int) -> int:
    return int(given if isinstance(given, int) else given[axis - 1])


def _padded(inputs: torch.Tensor, axis: int, size: int, step: int) -> torch.Tensor:
    """With the rows before and after that Keras adds, the odd one after."""
    around = same_padding(inputs.shape[axis], size, step)
    if around == (0, 0):
        return inputs
    sides = (0, 0) * (inputs.ndim - 1 - axis) + around
    return torch.nn.functional.pad(inputs, sides, value=-torch.inf)
