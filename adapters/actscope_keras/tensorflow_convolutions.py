"""TensorFlow on a CPU: pictures of one channel, several outputs of a convolution at a time.

Without oneDNN, which TensorFlow uses on processors with AVX-512 only, Eigen gathers what a kernel
sees value by value unless there are several channels: 90 MFLOP take 50 ms of a core. Neighbouring
outputs of a row see overlapping windows. Here one wider window stands for all of them: its values
take the place of channels, and each output is a channel of the result, which in memory is the
result itself. The wider kernel is mostly zeros; what is multiplied in vain costs less than the
gathering (see benchmarks/RESULTS.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from actscope_keras.padding import same_padding

VECTOR = 8
"""Values that are gathered at once; a window's length is a multiple of it."""

GATHERING = 145
"""What it costs to gather a value of a window, where multiplying it costs one per output."""

GATHERING_ALONE = 320
"""The same for a window of a kernel as TensorFlow itself has it."""

WORTHWHILE = 0.7
"""The most that folding may cost, of what TensorFlow's own convolution does."""


MOST_OUTPUTS = 16
"""More outputs at a time gain nothing."""

MOST_COPIES = 4
"""So many windows may hold a value of the picture: each is a copy of it."""

MOST_WEIGHTS = 2**18
"""So large may the wider kernel be, which is made anew for each batch."""


@dataclass(frozen=True)
class Folding:
    """How rows are folded.

    Attributes:
        outputs: how many neighbouring outputs are computed as one, a divisor of a row's.
        window: how many values they see, and some more.
    """

    outputs: int
    window: int


def best_folding(width: int, extents: tuple[int, int], stride: int, filters: int) -> Folding | None:
    """The cheapest way to compute rows of outputs; None where TensorFlow's own is as good.

    Args:
        width: outputs in a row.
        extents: the kernel's height and width.
        stride: from one output to the next.
        filters: output channels.
    """

    def cost(folding: Folding) -> float:
        return folding.window * (GATHERING / folding.outputs + filters)

    foldings = [
        Folding(outputs, _rounded_up((outputs - 1) * stride + extents[1], VECTOR))
        for outputs in range(2, min(width, MOST_OUTPUTS) + 1)
        if width % outputs == 0
    ]
    worthwhile = [
        folding
        for folding in foldings
        if cost(folding) <= WORTHWHILE * extents[1] * (GATHERING_ALONE + filters)
        and folding.window <= MOST_COPIES * folding.outputs * stride
        and extents[0] * folding.window * folding.outputs * filters <= MOST_WEIGHTS
    ]
    return min(worthwhile, key=cost, default=None)


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
    """A convolution of one input channel; None where TensorFlow's own is as good.

    Where an input is not finite, it comes to more outputs than it should, by way of the wider
    kernel's zeros.

    Args:
        pictures: float32 values `(N, H, W, 1)`, all lengths known.
        kernel: float32 values `(h, w, 1, filters)`.
        strides: along `H` and `W`.
        padding: `"valid"` or `"same"`.
    """
    extents, filters = (kernel.shape[0], kernel.shape[1]), kernel.shape[-1]
    if padding == "same":
        pictures = _padded(pictures, extents, strides)
    height, width = (
        (length - extent) // stride + 1
        for length, extent, stride in zip(pictures.shape[1:-1], extents, strides, strict=True)
    )
    folding = best_folding(width, extents, strides[1], filters)
    if folding is None or height < 1:
        return None
    windows = _windows(pictures, width, strides[1], folding)
    values = tf.nn.conv2d(windows, _widened(kernel, strides[1], folding), [strides[0], 1], "VALID")
    return Folded(values, (pictures.shape[0], height, width, filters))


def _padded(pictures: Any, extents: Sequence[int], strides: Sequence[int]) -> Any:
    """With the zeros around that TensorFlow adds."""
    around = map(same_padding, pictures.shape[1:-1], extents, strides)
    return tf.pad(pictures, [(0, 0), *around, (0, 0)])


def _windows(pictures: Any, width: int, stride: int, folding: Folding) -> Any:
    """What each group of outputs sees, `(N, H, width / outputs, window)`.

    A window is made of the steps from one group to the next that lie in it, the last cut short.
    """
    step, groups = folding.outputs * stride, width // folding.outputs
    pieces = -(-folding.window // step)
    samples, height, length, _ = pictures.shape
    needed = (groups + pieces - 1) * step
    rows = tf.squeeze(pictures, -1)[..., :needed]
    rows = tf.pad(rows, [(0, 0), (0, 0), (0, max(0, needed - length))])
    steps = [
        tf.reshape(
            rows[..., piece * step : (piece + groups) * step], [samples, height, groups, step]
        )[..., : folding.window - piece * step]
        for piece in range(pieces)
    ]
    return tf.concat(steps, -1)


def _widened(kernel: Any, stride: int, folding: Folding) -> Any:
    """The kernel of all outputs of a group, `(h, 1, window, outputs * filters)`."""
    height, extent, _, filters = kernel.shape
    taps = np.subtract.outer(np.arange(folding.window), stride * np.arange(folding.outputs))
    taps[(taps < 0) | (taps >= extent)] = extent  # the zero behind the kernel
    with_zero = tf.pad(tf.squeeze(kernel, 2), [(0, 0), (0, 1), (0, 0)])
    wide = tf.gather(with_zero, taps, axis=1)
    return tf.reshape(wide, [height, 1, folding.window, folding.outputs * filters])
