"""TensorFlow on a CPU: the largest value of pictures of few channels, several times as fast.

Without oneDNN TensorFlow's own pooling (2.21) spends its time on one picture element after another,
however few its channels. Where a whole row takes the place of the channels, a column of elements
is pooled as fast as few elements of many channels; what is left for the other axis is a fraction of
them (see benchmarks/RESULTS.md).
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import tensorflow as tf

FEW_CHANNELS = 7
"""From more on, which fill a vector register, TensorFlow's own pooling is as fast."""


def max_pool(inputs: Any, pool_size: Sequence[int], strides: Sequence[int], padding: str) -> Any:
    """The largest values of windows, as `tf.nn.max_pool` has them; NaN is ignored.

    Args:
        inputs: float32 values `(N, H, W, C)`, all lengths known.
        pool_size: of a window, one number for each of `H` and `W`.
        strides: from a window to the next, likewise.
        padding: `"valid"` or `"same"`.
    """
    samples, height, width, channels = inputs.shape
    rows = tf.reshape(inputs, [samples, height, 1, width * channels])
    rows = tf.nn.max_pool(rows, (pool_size[0], 1), (strides[0], 1), padding.upper())
    height = rows.shape[1]
    if strides[1] == pool_size[1] and width % pool_size[1] == 0:
        # No NaN came through the first pooling, so that plain maxima do not spread any.
        windows = tf.reshape(rows, [-1, pool_size[1] * channels])
        largest = reduce(tf.maximum, tf.split(windows, pool_size[1], axis=-1))
        return tf.reshape(largest, [samples, height, width // pool_size[1], channels])
    columns = tf.reshape(rows, [samples, height, width, channels])
    return tf.nn.max_pool(columns, (1, pool_size[1]), (1, strides[1]), padding.upper())
