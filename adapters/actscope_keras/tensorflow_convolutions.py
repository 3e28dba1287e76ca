"""TensorFlow on a CPU: few channels, several outputs of a convolution at a time.

Without oneDNN, which TensorFlow takes by itself only on processors with AVX-512 VNNI, AVX-VNNI or
AMX, Eigen gathers what a kernel sees value by value unless there are several side by side: 90 MFLOP
take 50 ms of a core. Neighbouring outputs of a row see overlapping windows. Here one wider window
stands for all of them, as one output of a wider kernel with a channel for each of theirs, which in
memory is the result itself; the channels of the input become positions of its rows, which is what
they are in memory. The wider kernel is mostly zeros; what is multiplied in vain costs less than the
gathering (see benchmarks/RESULTS.md).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from actscope_keras.padding import same_padding

VECTOR = 8
"""Values that are gathered at once; a wider window's length is a multiple of it."""

GATHERING = 100
"""What it costs to gather a whole vector, and as much each value left over.

To multiply a value costs 1 per output channel. This and `BEGINNING` were fitted to 30 convolutions
and 217 ways to fold them (see benchmarks/RESULTS.md).
"""

BEGINNING = 1400
"""What each window costs beside, all rows of the kernel together."""

WORTHWHILE = 0.9
"""The most that folding may cost, of what TensorFlow's own convolution does."""

MOST_OUTPUTS = 16
"""More outputs at a time were never faster."""

MOST_WEIGHTS = 2**18
"""So large may the wider kernel be, which is made anew for each batch."""


@dataclass(frozen=True)
class Folding:
    """How rows are folded.

    Attributes:
        outputs: how many neighbouring outputs are computed as one, a divisor of a row's.
        window: how many values of a row they see, all channels, and some more.
    """

    outputs: int
    window: int


def best_folding(width: int, kernel: tuple[int, int, int, int], stride: int) -> Folding | None:
    """The cheapest way to compute rows of outputs; None where TensorFlow's own is as good.

    Args:
        width: outputs in a row.
        kernel: its shape `(h, w, channels, filters)`.
        stride: from one output to the next.
    """
    height, extent, channels, filters = kernel
    if height == extent == 1:
        return None  # nothing is gathered

    def cost_per_output(folding: Folding) -> float:
        gathering = GATHERING * sum(divmod(folding.window, VECTOR))
        return (gathering + BEGINNING / height) / folding.outputs + folding.window * filters

    own = cost_per_output(Folding(1, extent * channels))
    foldings = [
        Folding(outputs, _rounded_up(((outputs - 1) * stride + extent) * channels, VECTOR))
        for outputs in range(2, min(width, MOST_OUTPUTS) + 1)
        if width % outputs == 0
    ]
    worthwhile = [
        folding
        for folding in foldings
        if cost_per_output(folding) <= WORTHWHILE * own
        and height * folding.window * folding.outputs * filters <= MOST_WEIGHTS
    ]
    return min(worthwhile, key=cost_per_output, default=None)


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


@dataclass(frozen=True)
class Folded:
    """A result whose rows are folded.

    Attributes:
        values: `(N, H, W / outputs, outputs * filters)`.
        shape: what it has unfolded, `(N, H, W, filters)`.
    """

    values: Any
    shape: tuple[int, ...]

    def unfolded(self) -> Any:
        """The tensor that this stands for, the same in memory."""
        return tf.reshape(self.values, self.shape)

    def plus(self, bias: Any) -> "Folded":
        """With a bias added, of shape `(filters,)`."""
        outputs = self.values.shape[-1] // self.shape[-1]
        return replace(self, values=tf.nn.bias_add(self.values, tf.tile(bias, [outputs])))

    def rectified(self) -> "Folded":
        """After `relu`."""
        return replace(self, values=tf.nn.relu(self.values))


def folded_convolution(
    pictures: Any, kernel: Any, strides: tuple[int, int], padding: str
) -> Folded | None:
    """A convolution; None where TensorFlow's own is as good.

    Where an input is not finite, it comes to more outputs than it should, by way of the wider
    kernel's zeros.

    Args:
        pictures: float32 values `(N, H, W, channels)`, all lengths known.
        kernel: float32 values `(h, w, channels, filters)`.
        strides: along `H` and `W`.
        padding: `"valid"` or `"same"`.
    """
    shape = tuple(kernel.shape)
    *extents, channels, filters = shape
    samples, *lengths, _ = pictures.shape
    around = [
        same_padding(*axis) if padding == "same" else (0, 0)
        for axis in zip(lengths, extents, strides, strict=True)
    ]
    height, width = (
        (length + sum(zeros) - extent) // stride + 1
        for length, zeros, extent, stride in zip(lengths, around, extents, strides, strict=True)
    )
    folding = best_folding(width, shape, strides[1]) if height > 0 and width > 0 else None
    if folding is None:
        return None
    step = folding.outputs * strides[1] * channels
    seen = (width // folding.outputs - 1) * step + folding.window
    row = lengths[1] * channels
    before, after = (zeros * channels for zeros in around[1])
    missing = max(after, seen - before - row)
    rows = tf.reshape(pictures, [samples, lengths[0], row, 1])
    if any(around[0]) or before or missing:
        rows = tf.pad(rows, [(0, 0), around[0], (before, missing), (0, 0)])
    wide = _widened(kernel, strides[1], folding)
    values = tf.nn.conv2d(rows, wide, [strides[0], step], "VALID")
    return Folded(values, (samples, height, width, filters))


def _widened(kernel: Any, stride: int, folding: Folding) -> Any:
    """The kernel of all outputs of a group, `(h, window, 1, outputs * filters)`."""
    height, extent, channels, filters = kernel.shape
    shifts = stride * channels * np.arange(folding.outputs)
    taps = np.subtract.outer(np.arange(folding.window), shifts)
    taps[(taps < 0) | (taps >= extent * channels)] = extent * channels  # the zero behind the kernel
    rows = tf.reshape(kernel, [height, extent * channels, filters])
    wide = tf.gather(tf.pad(rows, [(0, 0), (0, 1), (0, 0)]), taps, axis=1)
    return tf.reshape(wide, [height, folding.window, 1, folding.outputs * filters])
