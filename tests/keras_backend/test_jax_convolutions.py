"""On a CPU, JAX's slow convolutions are computed otherwise, and come out the same."""

import itertools
import math

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import layers

import actscope
from alone import run_alone
from models import up_to_each_layer

if keras.config.backend() != "jax":
    pytest.skip("about JAX", allow_module_level=True)

import jax
from jax import lax

from actscope_keras import jax_compiling
from actscope_keras.jax_compiling import compiled
from actscope_keras.jax_convolutions import MOST_PRODUCTS, MOST_PRODUCTS_OF_ONE
from rewriting import primitives

AXES = {1: "W", 2: "HW", 3: "DHW"}


def convolution(
    groups, strides=1, padding="VALID", dilation=1, kernel_layout="spatial-IO", **words
):
    """Of a kernel laid out in one of two ways; numbers hold for all axes."""

    def convolve(images, kernel):
        spatial = images.ndim - 2
        axes = AXES[spatial]
        return lax.conv_general_dilated(
            images,
            kernel,
            per_axis(strides, spatial),
            padding,
            rhs_dilation=per_axis(dilation, spatial),
            dimension_numbers=(
                f"N{axes}C",
                kernel_layout.replace("spatial-", axes).replace("-spatial", axes),
                f"N{axes}C",
            ),
            feature_group_count=groups,
            **words,
        )

    return convolve


def per_axis(value, spatial):
    return (value,) * spatial if isinstance(value, int) else tuple(value)


def by_hand(images, kernel, strides, padding, dilation):
    """The definition, one output at a time, in float64; each output has one input channel.

    The kernel has its positions first; `padding` is in pairs, of which a negative one cuts off.
    """
    *extents, _, outputs = kernel.shape
    spatial = len(extents)
    strides, dilation = per_axis(strides, spatial), per_axis(dilation, spatial)
    wide = np.pad(
        images.astype(np.float64),
        [(0, 0), *((max(before, 0), max(after, 0)) for before, after in padding), (0, 0)],
    )
    cut = [
        slice(max(-before, 0), length - max(-after, 0))
        for (before, after), length in zip(padding, wide.shape[1:-1], strict=True)
    ]
    padded = wide[(slice(None), *cut)]
    channel_of = np.arange(outputs) // (outputs // images.shape[-1])
    lengths = [
        max((length - (extent - 1) * apart - 1) // stride + 1, 0)
        for length, extent, apart, stride in zip(
            padded.shape[1:-1], extents, dilation, strides, strict=True
        )
    ]
    result = np.zeros((len(images), *lengths, outputs))
    for place in itertools.product(*map(range, lengths)):
        for at in itertools.product(*map(range, extents)):
            where = tuple(
                p * stride + a * apart
                for p, stride, a, apart in zip(place, strides, at, dilation, strict=True)
            )
            pixels = padded[(slice(None), *where)][:, channel_of]
            result[(slice(None), *place)] += pixels * kernel[at][0]
    return result


@st.composite
def convolutions(draw):
    """Axes of their own lengths, kernels, strides, padding and dilation."""
    spatial = draw(st.integers(1, 3))

    def each(numbers):
        return draw(st.tuples(*[numbers] * spatial))

    padding = each(st.tuples(st.integers(-1, 2), st.integers(-1, 2)))
    channels = draw(st.integers(1, 3))
    return {
        "lengths": each(st.integers(6, 8)),
        "extents": each(st.integers(1, 3)),
        "strides": each(st.integers(1, 3)),
        "dilation": each(st.integers(1, 2)),
        "padding": padding,
        "channels": channels,
        "outputs": channels * draw(st.integers(1, 3)),
        "kernel_layout": draw(st.sampled_from(["spatial-IO", "OI-spatial"])),
    }


THREE_BY_THREE_BY_THREE_OF_ONE_CHANNEL = {
    "lengths": (6, 6, 6),
    "extents": (3, 3, 3),
    "strides": (1, 1, 1),
    "dilation": (1, 1, 1),
    "padding": ((0, 0),) * 3,
    "channels": 1,
    "outputs": 2,
    "kernel_layout": "spatial-IO",
}


@settings(max_examples=60)
@given(case=convolutions())
@example(case=THREE_BY_THREE_BY_THREE_OF_ONE_CHANNEL)
def test_equals_the_definition(case):
    random = np.random.default_rng(0)
    images = random.normal(size=(2, *case["lengths"], case["channels"])).astype(np.float32)
    kernel = random.normal(size=(*case["extents"], 1, case["outputs"])).astype(np.float32)
    words = {name: case[name] for name in ("strides", "padding", "dilation")}
    given = kernel
    if case["kernel_layout"] == "OI-spatial":
        given = np.moveaxis(kernel, (-1, -2), (0, 1))
    function = convolution(case["channels"], **words, kernel_layout=case["kernel_layout"])
    names, result = primitives(function, images, given)
    most = MOST_PRODUCTS if case["channels"] > 1 else MOST_PRODUCTS_OF_ONE
    stays = np.size(result) == 0 or math.prod(case["extents"]) > most
    assert ("conv_general_dilated" in names) == stays
    np.testing.assert_allclose(result, by_hand(images, kernel, **words), rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_stays_so():
    images = np.ones((1, 6, 6, 2), np.float32)
    images[0, 1, 1, 0] = np.nan
    images[0, 4, 4, 1] = np.inf
    kernel = np.full((3, 3, 1, 2), 2, np.float32)
    kernel[1, 1] = -1
    names, result = primitives(convolution(2, padding="SAME"), images, kernel)
    assert "conv_general_dilated" not in names
    np.testing.assert_array_equal(result, by_hand(images, kernel, 1, [(1, 1), (1, 1)], 1))


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("strides", [1, 2])
def test_an_input_smaller_than_the_kernel(length, strides):
    images, kernel = np.ones((2, length, 2, 1), np.float32), np.ones((3, 3, 1, 4), np.float32)
    _, result = primitives(convolution(1, strides), images, kernel)
    assert result.shape == (2, 0, 0, 4)


UNCHANGED = {
    "several-input-channels": ((4, 6, 6, 3), (3, 3, 3, 4), 1, {}),
    "grouped": ((4, 6, 6, 4), (3, 3, 2, 4), 2, {}),
    "large": ((1, 70, 1, 2), (MOST_PRODUCTS + 1, 1, 1, 2), 2, {}),
    "large-of-one": ((1, 70, 1, 1), (MOST_PRODUCTS_OF_ONE + 1, 1, 1, 2), 1, {}),
    "transposed": (
        (4, 6, 6, 1),
        (3, 3, 1, 2),
        1,
        {"lhs_dilation": (2, 2), "padding": [(1, 1), (1, 1)]},
    ),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_other_convolutions_are_left_alone(name):
    shape, kernel, groups, words = UNCHANGED[name]
    arrays = np.ones(shape, np.float32), np.ones(kernel, np.float32)
    names, _ = primitives(convolution(groups, **words), *arrays)
    assert "conv_general_dilated" in names


def test_half_precision_is_left_alone():
    arrays = np.ones((2, 6, 6, 1), np.float16), np.ones((3, 3, 1, 2), np.float16)
    names, _ = primitives(convolution(1), *arrays)
    assert "conv_general_dilated" in names


def test_channels_first_is_left_alone():
    def convolve(images, kernel):
        numbers = ("NCHW", "HWIO", "NCHW")
        return lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=numbers)

    arrays = np.ones((2, 1, 6, 6), np.float32), np.ones((3, 3, 1, 2), np.float32)
    names, _ = primitives(convolve, *arrays)
    assert "conv_general_dilated" in names


def separable():
    inputs = keras.Input((12, 12, 1), name="given")
    first = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(inputs)
    deep = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="deep")(first)
    pooled = layers.MaxPooling2D(2, name="pooled")(deep)
    apart = layers.SeparableConv2D(4, 2, name="apart")(pooled)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(apart))


def test_a_recording_equals_the_model_built_to_each_layer(tmp_path):
    keras.utils.set_random_seed(0)
    model = separable()
    data = np.random.default_rng(0).normal(size=(10, 12, 12, 1)).astype(np.float32)
    names = ["first", "deep", "pooled", "apart", "mean"]
    actscope.extract(model, data, tmp_path / "all.h5", layers=names)
    with actscope.open(tmp_path / "all.h5") as recording:
        expected = up_to_each_layer(model, data)
        for name in names:
            np.testing.assert_allclose(recording[name][:], expected[name], rtol=1e-5, atol=1e-6)


IN_64_BITS = """
import jax, keras, numpy as np, actscope
inputs = keras.Input((8, 8, 1))
first = keras.layers.Conv2D(2, 3, name="first")(inputs)
model = keras.Model(inputs, keras.layers.DepthwiseConv2D(3, name="deep")(first))
data = np.random.default_rng(0).normal(size=(9, 8, 8, 1)).astype(np.float32)
with actscope.extract(model, data, PATH, batch_size=4) as recording:
    upto = keras.Model(inputs, model.get_layer("deep").output)
    np.testing.assert_allclose(recording["deep"][:], upto.predict(data), rtol=1e-5, atol=1e-5)
"""


def test_where_jax_computes_in_64_bits(tmp_path):
    run_alone(IN_64_BITS, tmp_path / "all.h5", JAX_ENABLE_X64="1")


def test_trees_of_results_and_donated_memory():
    def function(first, second, spare):
        return {"sum": first["a"] + second, "own": [first["a"], spare * 0]}

    step = compiled(function, {"a": np.ones(3)}, np.full(3, 2.0), np.ones(3), donated=2)
    results = step.call({"a": np.arange(3.0)}, np.full(3, 2.0), jax.numpy.ones(3))
    np.testing.assert_array_equal(results["sum"], [2, 3, 4])
    np.testing.assert_array_equal(results["own"][0], [0, 1, 2])
    np.testing.assert_array_equal(results["own"][1], [0, 0, 0])


def test_an_xla_that_does_not_know_the_option(monkeypatch):
    monkeypatch.setattr(jax_compiling, "OPTIONS", {"xla_cpu_no_such_option": "1"})
    step = compiled(lambda x, _: x + 1, np.zeros(2), [], donated=1)
    np.testing.assert_array_equal(step.call(np.zeros(2), []), [1, 1])
