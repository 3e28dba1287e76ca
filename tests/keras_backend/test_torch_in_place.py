"""PyTorch on a CPU: a bias and `relu` in place change nothing that a recording or anybody sees."""

import keras
import numpy as np
import pytest
from keras import layers

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch
from hypothesis import given
from hypothesis import strategies as st
from keras.src.backend import nn
from keras.src.backend import numpy as operations
from torch.utils._python_dispatch import TorchDispatchMode

import actscope
from actscope_keras.torch_in_place import OwnResult, add_in_place, can_hold_sum


@st.composite
def biased(draw):
    """A result, and a bias that is broadcast to it."""
    shape = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    axes = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    bias = [length if keep else 1 for length, keep in zip(shape, axes, strict=True)]
    bias = bias[draw(st.integers(0, len(bias))) :] if draw(st.booleans()) else bias
    random = np.random.default_rng(draw(st.integers(0, 99)))
    values = random.normal(size=shape).astype(np.float32)
    order = draw(st.permutations(range(len(shape))))
    transposed = np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
    return draw(st.sampled_from([values, transposed])), random.normal(size=bias).astype(np.float32)


@given(biased())
def test_any_bias_is_added_as_numpy_adds_it(pair):
    values, bias = pair
    expected = values + bias
    if expected.shape != values.shape:  # the bias has more axes of one, or the values fewer
        assert not can_hold_sum(torch.from_numpy(values), torch.from_numpy(bias))
        return
    result = torch.from_numpy(values)
    assert can_hold_sum(result, torch.from_numpy(bias))
    assert add_in_place(result, torch.from_numpy(bias)) is result
    np.testing.assert_array_equal(result, expected)


def test_a_sum_of_another_dtype_or_shape_is_not_held():
    result = torch.zeros(2, 3, dtype=torch.float16)
    assert not can_hold_sum(result, torch.zeros(3, dtype=torch.float32))
    assert not can_hold_sum(result, torch.zeros(5, 2, 3, dtype=torch.float16))
    assert can_hold_sum(result, torch.zeros(3, dtype=torch.float16))


def falling(x):
    return keras.ops.relu(x) - x


def growing(x):
    return keras.ops.add(x, 1.0) * x


def multiplying(x):
    product = keras.ops.matmul(x, keras.ops.ones((7, 7)))
    return keras.ops.add(product, 1.0) * product


LAYERS = {
    "its own product": ((5,), lambda: layers.Dense(7, activation=multiplying)),
    "few channels": ((9, 8, 3), lambda: layers.Conv2D(6, 3, activation="relu")),
    "many channels": ((9, 8, 3), lambda: layers.Conv2D(33, 3, activation="relu")),
    "channels first": ((3, 9, 8), lambda: layers.Conv2D(6, 3, data_format="channels_first")),
    "no bias": ((9, 3), lambda: layers.Conv1D(4, 3, activation="relu", use_bias=False)),
    "volumes": ((6, 5, 4, 2), lambda: layers.Conv3D(3, 2, activation="tanh")),
    "depthwise": ((9, 8, 3), lambda: layers.DepthwiseConv2D(3, activation="relu")),
    "dense": ((5,), lambda: layers.Dense(7, activation="relu")),
    "dense of sequences": ((6, 5), lambda: layers.Dense(7, activation="softmax")),
    "no activation": ((5,), lambda: layers.Dense(20)),
    "einsum": (
        (6, 5),
        lambda: layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", activation="relu"),
    ),
    "its own relu": ((5,), lambda: layers.Dense(7, activation=falling)),
    "its own sum": ((5,), lambda: layers.Dense(7, activation=growing)),
    "its own sum, without a bias": (
        (9, 3),
        lambda: layers.Conv1D(4, 3, use_bias=False, activation=growing),
    ),
    "sloping relu": ((5,), lambda: layers.Dense(7, activation="leaky_relu")),
    "bfloat16": ((5,), lambda: layers.Dense(7, activation="relu", dtype="mixed_bfloat16")),
    "float64": ((5,), lambda: layers.Dense(7, activation="relu", dtype="float64")),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_gives_what_predict_gives(name, tmp_path):
    """Twice in a row, so that what the first returned is not what the second changes."""
    shape, make = LAYERS[name]
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape, name="x")
    layer = make()
    first = layer(inputs)
    model = keras.Model(inputs, [first, layers.Dense(3, activation="relu", name="last")(first)])
    for one in model.layers:
        one.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in one.get_weights()])
    data = np.random.default_rng(0).normal(size=(7, *shape)).astype(np.float32)
    expected = [keras.ops.convert_to_numpy(keras.ops.cast(o, "float32")) for o in model(data)]
    with actscope.extract(model, data, tmp_path / "run.h5", batch_size=4) as recording:
        for found, wanted in zip((layer.name, "last"), expected, strict=True):
            np.testing.assert_allclose(recording[found][:], wanted, rtol=1e-6, atol=1e-6)


class Keeping(layers.Dense):
    """Looks at its own product again, which it may, since Keras changes nothing in place."""

    def call(self, inputs, training=None):
        product = keras.ops.matmul(inputs, self.kernel)
        return self.activation(keras.ops.add(product, self.bias)) - product


def test_a_layer_of_somebody_elses_making_keeps_its_result(tmp_path):
    model = keras.Sequential([keras.Input((5,)), Keeping(4, activation="relu", name="keeping")])
    data = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    with actscope.extract(model, data, tmp_path / "run.h5") as recording:
        expected = model.predict(data, verbose=0)
        np.testing.assert_allclose(recording["keeping"][:], expected, rtol=1e-6)


def test_a_call_of_the_layers_own_keeps_its_result(tmp_path):
    layer = layers.Dense(4, name="dense")
    model = keras.Sequential([keras.Input((5,)), layer])
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])

    def call(inputs, training=None):
        product = keras.ops.matmul(inputs, layer.kernel)
        return keras.ops.add(product, layer.bias) * product

    layer.call = call
    data = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    product = data @ layer.kernel.numpy()
    with actscope.extract(model, data, tmp_path / "run.h5") as recording:
        expected = np.add(product, [1, 2, 3, 4]) * product
        np.testing.assert_allclose(recording["dense"][:], expected, rtol=1e-4, atol=1e-5)


class Adding(keras.Model):
    """Adds to what a layer returned, and returns that as well."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4, use_bias=False, name="dense")

    def call(self, inputs):
        hidden = self.dense(inputs)
        return keras.ops.relu(keras.ops.add(hidden, 1.0)) * hidden


def test_what_a_layer_returned_stays(tmp_path):
    model, data = Adding(), np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(model(data))
    asked = ["dense", "output"]
    with actscope.extract(model, data, tmp_path / "run.h5", layers=asked) as recording:
        product = data @ model.dense.get_weights()[0]
        np.testing.assert_allclose(recording["dense"][:], product, rtol=1e-5)
        np.testing.assert_allclose(recording["output"][:], expected, rtol=1e-5)


class Allocated(TorchDispatchMode):
    """Notes the sums and `relu`s that make a tensor of their own."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("add", "relu", "clamp_min"):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


def test_nothing_is_allocated_for_a_bias_and_relu(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.DepthwiseConv2D(3, activation="relu"),
            layers.Flatten(),
            layers.Dense(7, activation="relu"),
        ]
    )
    data = np.random.default_rng(0).normal(size=(6, 9, 8, 3)).astype(np.float32)
    with Allocated() as allocated:
        actscope.extract(model, data, tmp_path / "run.h5").close()
    assert allocated.seen == []
    with Allocated() as allocated:
        model(data)
    assert len(allocated.seen) == 6


def test_gradients_and_keras_are_as_before(tmp_path):
    before = [nn.conv, nn.relu, operations.add, operations.matmul]
    layer, data = layers.Dense(3, activation="relu", name="dense"), np.ones((4, 5), np.float32)
    model = keras.Sequential([keras.Input((5,)), layer, layers.Dense(2, name="out")])
    with actscope.extract(
        model, data, tmp_path / "run.h5", gradients=lambda y: y.sum()
    ) as recording:
        weights = layer.get_weights()[0], model.layers[-1].get_weights()[0]
        np.testing.assert_allclose(recording["dense"][:], np.maximum(data @ weights[0], 0))
        expected = np.broadcast_to(weights[1].sum(axis=1), (4, 3))
        np.testing.assert_allclose(recording["dense"].gradient[:], expected, rtol=1e-6)
    assert [nn.conv, nn.relu, operations.add, operations.matmul] == before


def test_only_what_the_layer_under_way_computed_last_is_its_own():
    own, layer, other = OwnResult(), layers.Dense(2), layers.Dense(2)
    layer.build((None, 3))
    with torch.inference_mode():
        result, later = torch.zeros(2), torch.zeros(2)
        assert not own.is_of(layer, result)
        own.note(layer, result)
        assert own.is_of(layer, result)
        assert not own.is_of(other, result)
        assert not own.is_of(layer, later)
        assert not own.is_of(None, result)
        own.note(layer, later)
        assert not own.is_of(layer, result)
    own.note(other, torch.zeros(2))  # gradients may be wanted
    assert own.is_of(layer, later)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_bias_comes_once_and_first(use_bias):
    own, layer = OwnResult(), layers.Dense(2, use_bias=use_bias)
    layer.build((None, 3))
    with torch.inference_mode():
        result = torch.zeros(2)
        own.note(layer, result)
        assert own.takes_bias(layer, result) == use_bias
        assert not own.takes_bias(layer, result)
        assert own.is_of(layer, result)
