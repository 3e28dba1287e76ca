"""On a CPU, JAX's slow convolutions are computed otherwise, and come out the same."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import actscope

if keras.config.backend() != "jax":
    pytest.skip("about JAX", allow_module_level=True)

import jax
from jax import lax

from actscope_keras import jax_compiling
from actscope_keras.jax_compiling import compiled
from actscope_keras.jax_convolutions import MOST_PRODUCTS, with_direct_convolutions

AXES = {1: "W", 2: "HW", 3: "DHW"}


def convolution(groups, strides=1, padding="VALID", dilation=1, **words):
    def convolve(images, kernel):
        spatial = images.ndim - 2
        axes = AXES[spatial]
        return lax.conv_general_dilated(
            images,
            kernel,
            (strides,) * spatial,
            padding,
            rhs_dilation=(dilation,) * spatial,
            dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
            feature_group_count=groups,
            **words,
        )

    return convolve


def primitives(function, *arguments):
    """What the rewritten function calls, and what it gives."""
    traced = jax.make_jaxpr(function)(*arguments)
    rewritten = with_direct_convolutions(traced)
    names = {equation.primitive.name for equation in jax.make_jaxpr(rewritten)(*arguments).eqns}
    return names, np.asarray(rewritten(*arguments)[0])


def by_hand(images, kernel, strides, padding, dilation):
    """The definition, one output at a time, in float64; each output has one input channel."""
    *extents, _, outputs = kernel.shape
    sizes = [(extent - 1) * dilation + 1 for extent in extents]
    pads = [(0, 0)] * len(sizes)
    if padding == "SAME":
        needed = [
            max((-(-length // strides) - 1) * strides + size - length, 0)
            for length, size in zip(images.shape[1:-1], sizes, strict=True)
        ]
        pads = [(one // 2, one - one // 2) for one in needed]
    padded = np.pad(images.astype(np.float64), [(0, 0), *pads, (0, 0)])
    channel_of = np.arange(outputs) // (outputs // images.shape[-1])
    lengths = [
        (length - size) // strides + 1
        for length, size in zip(padded.shape[1:-1], sizes, strict=True)
    ]
    result = np.zeros((len(images), *lengths, outputs))
    for place in itertools.product(*map(range, lengths)):
        for at in itertools.product(*map(range, extents)):
            where = tuple(p * strides + a * dilation for p, a in zip(place, at, strict=True))
            pixels = padded[(slice(None), *where)][:, channel_of]
            result[(slice(None), *place)] += pixels * kernel[at][0]
    return result


@settings(max_examples=60, deadline=None)
@given(
    spatial=st.integers(1, 3),
    channels=st.integers(1, 3),
    multiple=st.integers(1, 3),
    extent=st.integers(1, 3),
    strides=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["VALID", "SAME"]),
    length=st.integers(5, 7),
)
def test_equals_the_definition(
    spatial, channels, multiple, extent, strides, dilation, padding, length
):
    random = np.random.default_rng(0)
    lengths = [length + axis for axis in range(spatial)]
    images = random.normal(size=(2, *lengths, channels)).astype(np.float32)
    kernel = random.normal(size=(*[extent] * spatial, 1, channels * multiple)).astype(np.float32)
    function = convolution(channels, strides, padding, dilation)
    names, result = primitives(function, images, kernel)
    assert "conv_general_dilated" not in names
    expected = by_hand(images, kernel, strides, padding, dilation)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_stays_so():
    images = np.ones((1, 6, 6, 2), np.float32)
    images[0, 1, 1, 0] = np.nan
    images[0, 4, 4, 1] = np.inf
    kernel = np.full((3, 3, 1, 2), 2, np.float32)
    kernel[1, 1] = -1
    names, result = primitives(convolution(2, padding="SAME"), images, kernel)
    assert "conv_general_dilated" not in names
    np.testing.assert_array_equal(result, by_hand(images, kernel, 1, "SAME", 1))


def test_an_input_smaller_than_the_kernel():
    images, kernel = np.ones((2, 2, 2, 1), np.float32), np.ones((3, 3, 1, 4), np.float32)
    _, result = primitives(convolution(1), images, kernel)
    assert result.shape == (2, 0, 0, 4)


UNCHANGED = {
    "several-input-channels": ((4, 6, 6, 3), (3, 3, 3, 4), 1, {}),
    "grouped": ((4, 6, 6, 4), (3, 3, 2, 4), 2, {}),
    "large": ((1, 70, 1, 1), (MOST_PRODUCTS + 1, 1, 1, 2), 1, {}),
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
        for name in names:
            upto = keras.Model(model.inputs, model.get_layer(name).output)
            expected = upto.predict(data, verbose=0)
            np.testing.assert_allclose(recording[name][:], expected, rtol=1e-5, atol=1e-6)


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
