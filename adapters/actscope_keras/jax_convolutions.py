"""Convolutions that XLA computes badly on a CPU, written so that it computes them well.

Where each output channel looks at one input channel only, as in a depthwise convolution or in the
first of a network for grey pictures, XLA's convolution multiplies one number at a time. The same
sum, one product of a shifted picture and a weight after another, is fused into one vectorized loop:
ten times as fast and more where it is depthwise (see benchmarks/RESULTS.md), and equal but for the
order of the additions.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core.primitives import conv_general_dilated_p

MOST_PRODUCTS = 64
"""Kernels with more positions stay convolutions: each is a product in the compiled loop."""

MOST_PRODUCTS_OF_ONE = 25
"""The same where there is one input channel for all outputs, which is nearly a matrix product."""


def direct_convolution(equation: JaxprEqn) -> Callable[..., jax.Array] | None:
    """What computes the equation's result from its operands, where it is a slow convolution."""
    if not _is_slow(equation):
        return None
    chosen = ("window_strides", "padding", "rhs_dilation", "dimension_numbers")
    return partial(convolve, **{name: equation.params[name] for name in chosen})


def _is_slow(equation: JaxprEqn) -> bool:
    """Whether it is a plain float32 convolution of one input channel per output channel."""
    if equation.primitive is not conv_general_dilated_p:
        return False
    images, kernel = (variable.aval for variable in equation.invars)
    given = equation.params
    layout = given["dimension_numbers"]
    channels_last = (0, images.ndim - 1, *range(1, images.ndim - 1))
    _, input_feature, *positions = layout.rhs_spec
    most = MOST_PRODUCTS if given["feature_group_count"] > 1 else MOST_PRODUCTS_OF_ONE
    return bool(
        math.prod(equation.outvars[0].aval.shape) > 0
        and images.dtype == kernel.dtype == equation.outvars[0].aval.dtype == np.float32
        and layout.lhs_spec == layout.out_spec == channels_last
        and kernel.shape[input_feature] == 1
        and images.shape[-1] == given["feature_group_count"]
        and given["batch_group_count"] == 1
        and set(given["lhs_dilation"]) <= {1}
        and math.prod(kernel.shape[axis] for axis in positions) <= most
    )


def convolve(
    images: jax.Array,
    kernel: jax.Array,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
) -> jax.Array:
    """A convolution of one input channel per output channel, as a sum of products.

    Args:
        images: shape `(N, ..., C)`.
        kernel: as `dimension_numbers` says, with one input channel and a multiple of C outputs.
        window_strides: the step from one output to the next, per spatial axis.
        padding: how many zeros go before and after, per spatial axis.
        rhs_dilation: the distance between the kernel's positions, per spatial axis.
        dimension_numbers: which axes of the kernel are which.

    Returns:
        shape `(N, ..., outputs)`.
    """
    output_feature, input_feature, *positions = dimension_numbers.rhs_spec
    weights = jnp.transpose(kernel, (input_feature, *positions, output_feature))[0]
    extents = weights.shape[:-1]
    around = [(0, 0, 0), *((before, after, 0) for before, after in padding), (0, 0, 0)]
    # Padded once, and not anew for each product.
    padded = lax.optimization_barrier(lax.pad(images, jnp.zeros((), images.dtype), around))
    spans = [
        (size - (extent - 1) * dilation - 1) // stride * stride + 1
        for size, extent, dilation, stride in zip(
            padded.shape[1:-1], extents, rhs_dilation, window_strides, strict=True
        )
    ]
    products = []
    for position in np.ndindex(extents):
        starts = [at * dilation for at, dilation in zip(position, rhs_dilation, strict=True)]
        stops = [start + span for start, span in zip(starts, spans, strict=True)]
        shifted = lax.slice(
            padded,
            (0, *starts, 0),
            (len(padded), *stops, padded.shape[-1]),
            (1, *window_strides, 1),
        )
        weight = weights[position].reshape((1,) * (images.ndim - 1) + (-1,))
        products.append(_per_output(shifted, weights.shape[-1]) * weight)
    # This changes no value, NaN included. It keeps YNNPACK from drawing the sum into a pooling that
    # follows and computing it several times.
    infinity = np.float32(np.inf)
    return lax.clamp(-infinity, _total(products), infinity)


def _total(terms: Sequence[jax.Array]) -> jax.Array:
    """Their sum, half by half: one after another each addition would wait for that before it."""
    half = len(terms) // 2
    return _total(terms[:half]) + _total(terms[half:]) if half else terms[0]


def _per_output(images: jax.Array, outputs: int) -> jax.Array:
    """For each output channel its input channel; a single one is left as it is, for all."""
    channels = images.shape[-1]
    return images if channels == 1 else jnp.repeat(images, outputs // channels, axis=-1)
