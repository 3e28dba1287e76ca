"""On a CPU, JAX's max pooling of few channels is computed otherwise, and comes out the same."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import actscope
from models import up_to_each_layer

if keras.config.backend() != "jax":
    pytest.skip("about JAX", allow_module_level=True)

import jax
from jax import lax

from actscope_keras import jax_equations
from rewriting import primitives


def largest(sizes, strides=None, padding="VALID", start=-np.inf):
    """Max pooling of pictures."""

    def pool(pictures):
        window = (1, *sizes, 1)
        steps = window if strides is None else (1, *strides, 1)
        return lax.reduce_window(pictures, start, lax.max, window, steps, padding)

    return pool


def rewritten(function, pictures):
    """Whether it is computed otherwise, and what it gives."""
    names, result = primitives(function, pictures)
    return not any(name.startswith("reduce_window") for name in names), result


@settings(max_examples=60)
@given(
    sizes=st.tuples(st.integers(2, 4), st.integers(1, 4)),
    windows=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    rest=st.integers(0, 3),
    channels=st.integers(1, 7),
    infinite=st.lists(st.sampled_from([np.inf, -np.inf]), max_size=30),
)
def test_equals_the_definition(sizes, windows, rest, channels, infinite):
    (height, width), (down, across) = sizes, windows
    shape = (2, down * height, across * width + rest % width, channels)
    pictures = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    places = np.random.default_rng(1).permutation(pictures.size)[: len(infinite)]
    pictures.flat[places] = infinite[: len(places)]
    is_faster, result = rewritten(largest(sizes), pictures)
    assert is_faster
    whole = pictures[:, :, : across * width]
    each = whole.reshape(2, down, height, across, width, channels)
    np.testing.assert_array_equal(result, each.max((2, 4)))


def test_nan_stays_in_its_window():
    pictures = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype(np.float32)
    _, expected = rewritten(largest((3, 3)), pictures)
    pictures[1, 4, 2, 3] = np.nan
    _, result = rewritten(largest((3, 3)), pictures)
    others = np.ones(expected.shape, bool)
    others[1, 1, 0, 3] = False
    np.testing.assert_array_equal(result[others], expected[others])


LEFT_ALONE = {
    "many channels": ((2, 6, 6, 8), largest((2, 2))),
    "overlapping": ((2, 7, 7, 3), largest((3, 3), (2, 2))),
    "padded": ((2, 7, 7, 3), largest((2, 2), padding="SAME")),
    "rows left over": ((2, 7, 6, 3), largest((2, 2))),
    "along a row": ((2, 6, 6, 3), largest((1, 2))),
    "series": ((2, 6, 3), largest((2,))),
    "none": ((0, 6, 6, 3), largest((2, 2))),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_others_are_left_alone(name):
    shape, pool = LEFT_ALONE[name]
    pictures = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    is_faster, result = rewritten(pool, pictures)
    assert not is_faster
    np.testing.assert_array_equal(result, pool(pictures))


def test_other_numbers_are_left_alone():
    half = np.ones((2, 4, 4, 3), np.float16)
    assert not rewritten(largest((2, 2)), half)[0]
    whole = np.ones((2, 4, 4, 3), np.int32)
    assert not rewritten(largest((2, 2), start=np.iinfo(np.int32).min), whole)[0]


def test_another_start_is_left_alone():
    pictures = np.full((2, 4, 4, 3), -1, np.float32)
    is_faster, result = rewritten(largest((2, 2), start=np.float32(0)), pictures)
    assert not is_faster
    assert not result.any()


def test_where_jit_is_disabled(tmp_path):
    inputs = keras.Input((8, 8, 1))
    pooled = layers.MaxPooling2D(2, name="pooled")(layers.Conv2D(3, 3, name="first")(inputs))
    model = keras.Model(inputs, pooled)
    data = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    with jax.disable_jit():
        actscope.extract(model, data, tmp_path / "all.h5", layers=["pooled"])
    with actscope.open(tmp_path / "all.h5") as recording:
        np.testing.assert_allclose(recording["pooled"][:], model.predict(data), rtol=1e-5)


def test_a_jax_without_ynnpack_pools_itself(monkeypatch):
    monkeypatch.setattr(jax_equations, "HAS_YNNPACK", False)
    assert not rewritten(largest((2, 2)), np.ones((2, 4, 4, 3), np.float32))[0]


@pytest.mark.parametrize("gradients", [None, "predicted"])
def test_a_recording_equals_the_model_built_to_each_layer(tmp_path, gradients):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 13, 3), name="given")
    first = layers.MaxPooling2D(2, name="first")(inputs)
    second = layers.MaxPooling2D((3, 2), name="second")(layers.Conv2D(4, 3, padding="same")(first))
    model = keras.Model(inputs, layers.Dense(2, name="dense")(layers.Flatten(name="flat")(second)))
    data = np.random.default_rng(0).normal(size=(10, 12, 13, 3)).astype(np.float32)
    names = ["first", "second", "dense"]
    actscope.extract(model, data, tmp_path / "all.h5", layers=names, gradients=gradients)
    with actscope.open(tmp_path / "all.h5") as recording:
        expected = up_to_each_layer(model, data)
        for name in names:
            np.testing.assert_allclose(recording[name][:], expected[name], rtol=1e-5, atol=1e-6)
