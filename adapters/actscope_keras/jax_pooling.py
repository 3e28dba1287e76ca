"""JAX on a CPU: the largest values of pictures of few channels, one axis after the other.

XLA looks at all positions of a window, a few channels at a time. Where a whole row takes the place
of the channels, its vectors are full, and what is left for the other axis is a fraction of the
values: half the time (see benchmarks/RESULTS.md). Of a window that holds NaN XLA returns one number
or another, as this does.
"""

from collections.abc import Callable
from functools import partial, reduce

import jax
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core.primitives import reduce_window_max_p

FEW_CHANNELS = 7
"""From more on, which fill a vector register, XLA's own pooling is as fast."""


def pooling_by_axes(equation: JaxprEqn) -> Callable[..., jax.Array] | None:
    """What computes the equation's result from its operand, where it is a slow max pooling."""
    if not _is_slow(equation):
        return None
    _, *sizes, _ = equation.params["window_dimensions"]
    return partial(max_pool, sizes=tuple(sizes))


def _is_slow(equation: JaxprEqn) -> bool:
    """Whether it is the largest float32 of windows side by side, of pictures of few channels.

    Windows of one row gain nothing, and rows left over would have to be cut off in a copy.
    """
    if equation.primitive is not reduce_window_max_p:
        return False
    pictures, given = equation.invars[0].aval, equation.params
    window = tuple(given["window_dimensions"])
    return bool(
        pictures.dtype == np.float32
        and pictures.ndim == 4
        and pictures.shape[-1] <= FEW_CHANNELS
        and window[0] == window[-1] == 1
        and window == tuple(given["window_strides"])
        and window[1] > 1
        and pictures.shape[1] % window[1] == 0
        and pictures.size > 0
        and not np.any(given["padding"])
        and {*given["base_dilation"], *given["window_dilation"]} == {1}
    )


def max_pool(pictures: jax.Array, *, sizes: tuple[int, int]) -> jax.Array:
    """The largest values of windows side by side; columns that do not fill one are left out.

    Args:
        pictures: `(N, H, W, C)`; H is a multiple of a window's height.
        sizes: a window's height and width.

    Returns:
        `(N, H / height, W // width, C)`.
    """
    samples, height, width, channels = pictures.shape
    rows = lax.reshape(pictures, (samples, height // sizes[0], sizes[0], width * channels))
    rows = lax.reduce_max(rows, (2,))
    windows = width // sizes[1]
    rows = rows[..., : windows * sizes[1] * channels]
    columns = lax.reshape(rows, (*rows.shape[:2], windows, sizes[1], channels))
    return reduce(lax.max, [columns[..., column, :] for column in range(sizes[1])])
