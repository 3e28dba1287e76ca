"""With TensorFlow, what is slow without oneDNN is computed otherwise, and comes out the same."""

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from keras import layers

import actscope
from alone import run_alone
from models import up_to_each_layer

if keras.config.backend() != "tensorflow":
    pytest.skip("about TensorFlow", allow_module_level=True)

import tensorflow as tf

from actscope_keras import tensorflow, tensorflow_convolutions, tensorflow_operations
from actscope_keras.tensorflow_convolutions import (
    VECTOR,
    Folding,
    best_folding,
    folded_convolution,
)
from actscope_keras.tensorflow_pooling import max_pool


def convolved(pictures, kernel, strides, padding):
    """TensorFlow's own, in float64, which is not replaced."""
    return tf.nn.conv2d(
        pictures.astype(np.float64), kernel.astype(np.float64), strides, padding.upper()
    ).numpy()


@st.composite
def convolutions(draw):
    each = st.tuples(st.integers(1, 4), st.integers(1, 4))
    return {
        "lengths": draw(st.tuples(st.integers(4, 9), st.integers(4, 13))),
        "extents": draw(each),
        "strides": draw(each),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "channels": draw(st.integers(1, 4)),
        "filters": draw(st.integers(1, 3)),
        "choice": draw(st.integers(0, 5)),
        "spare": draw(st.integers(0, 9)),
    }


@settings(max_examples=120)
@given(case=convolutions())
def test_a_folded_convolution_equals_the_plain_one(case):
    random = np.random.default_rng(0)
    channels, shape = case["channels"], (*case["extents"], case["channels"], case["filters"])
    pictures = random.normal(size=(2, *case["lengths"], channels)).astype(np.float32)
    kernel = random.normal(size=shape).astype(np.float32)

    def any_folding(width, kernel, stride):
        assert kernel == shape
        outputs = [n for n in range(1, width + 1) if width % n == 0]
        chosen = outputs[case["choice"] % len(outputs)]
        return Folding(chosen, ((chosen - 1) * stride + kernel[1]) * channels + case["spare"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorflow_convolutions, "best_folding", any_folding)
        folded = folded_convolution(
            tf.constant(pictures), tf.constant(kernel), case["strides"], case["padding"]
        )
    expected = convolved(pictures, kernel, case["strides"], case["padding"])
    assert folded.shape == expected.shape
    np.testing.assert_allclose(folded.unfolded(), expected, rtol=1e-5, atol=1e-5)
    bias = random.normal(size=case["filters"]).astype(np.float32)
    np.testing.assert_allclose(
        folded.plus(bias).rectified().unfolded(),
        np.maximum(expected + bias, 0),
        rtol=1e-5,
        atol=1e-5,
    )


@given(
    width=st.integers(0, 5000),
    extents=st.tuples(st.integers(1, 12), st.integers(1, 1000)),
    channels=st.integers(1, 40),
    stride=st.integers(1, 4),
    filters=st.integers(1, 300),
)
def test_a_folding_takes_all_outputs_and_all_that_they_see(
    width, extents, channels, stride, filters
):
    folding = best_folding(width, (*extents, channels, filters), stride)
    if folding is not None:
        assert width % folding.outputs == 0
        assert folding.window >= ((folding.outputs - 1) * stride + extents[1]) * channels
        assert folding.window % VECTOR == 0
        assert extents[0] * folding.window * folding.outputs * filters <= 2**18


@pytest.mark.parametrize(
    ("width", "kernel", "expected"),
    [
        (24, (5, 5, 1, 6), Folding(12, 16)),
        (6, (3, 3, 6, 10), Folding(3, 32)),
        (24, (3, 3, 3, 16), Folding(3, 16)),
        (24, (3, 3, 1, 32), Folding(6, 8)),
        (24, (3, 3, 1, 256), None),  # hardly more than a product of matrices
        (24, (3, 3, 16, 16), None),  # many are side by side already
        (26, (1, 1, 3, 8), None),  # nothing overlaps
        (23, (3, 3, 1, 8), None),  # a prime number of outputs
        (4177, (25, 25, 1, 1), None),
        (24, (1000, 1000, 1, 1), None),
    ],
)
def test_a_folding_is_taken_where_it_is_cheaper(width, kernel, expected):
    assert best_folding(width, kernel, 1) == expected


@st.composite
def poolings(draw):
    each = st.tuples(st.integers(1, 4), st.integers(1, 4))
    return {
        "lengths": draw(st.tuples(st.integers(4, 9), st.integers(4, 9))),
        "channels": draw(st.integers(1, 3)),
        "size": draw(each),
        "strides": draw(each),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "strange": draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf]), max_size=40)),
    }


NOTHING_BUT_NAN = {
    "lengths": (6, 6),
    "channels": 1,
    "size": (3, 3),
    "strides": (3, 3),
    "padding": "valid",
    "strange": [np.nan] * 36,
}


@settings(max_examples=150)
@given(case=poolings())
@example(case=NOTHING_BUT_NAN)
@example(case={**NOTHING_BUT_NAN, "strange": [np.nan] * 20})
def test_pooling_equals_tensorflows_own(case):
    random = np.random.default_rng(0)
    values = random.normal(size=(2, *case["lengths"], case["channels"])).astype(np.float32)
    values.flat[random.permutation(values.size)[: len(case["strange"])]] = case["strange"][
        : values.size
    ]
    words = (case["size"], case["strides"], case["padding"])
    own = tf.nn.max_pool(values, *words[:2], case["padding"].upper())
    np.testing.assert_array_equal(max_pool(tf.constant(values), *words), own)


def pictures(channels=1):
    inputs = keras.Input((20, 22, channels), name="given")
    first = layers.Conv2D(6, 3, activation="relu", name="first")(inputs)
    pooled = layers.MaxPooling2D(2, name="pooled")(first)
    single = layers.Conv2D(1, 3, use_bias=False, name="single")(pooled)
    apart = layers.Conv2D(5, 3, padding="same", strides=2, name="apart")(single)
    relu = layers.Activation("relu", name="relu")(apart)
    odd = layers.MaxPooling2D(2, strides=1, padding="same", name="odd")(relu)
    return keras.Model(inputs, layers.Dense(2, activation="tanh", name="dense")(odd))


def series():
    inputs = keras.Input((60, 1), name="given")
    first = layers.Conv1D(4, 5, strides=2, activation="relu", name="first")(inputs)
    pooled = layers.MaxPooling1D(2, name="pooled")(first)
    return keras.Model(inputs, layers.GlobalAveragePooling1D(name="mean")(pooled))


def in_time():
    inputs = keras.Input((3, 16, 16, 1), name="given")
    inner = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2)])
    each = layers.TimeDistributed(inner, name="each")(inputs)
    return keras.Model(inputs, layers.Flatten(name="flat")(each))


def dilated():
    inputs = keras.Input((20, 20, 1), name="given")
    return keras.Model(inputs, layers.Conv2D(4, 3, dilation_rate=2, name="wide")(inputs))


def other_sums():
    """What is added to a convolution is no bias of its channels."""
    inputs = keras.Input((18, 18, 1), name="given")
    first = layers.Conv2D(4, 3, name="first")(inputs)
    second = layers.Conv2D(4, 3, name="second")(inputs)
    both = layers.Add(name="both")([first, second])
    return keras.Model(inputs, layers.Rescaling(2.0, offset=0.5, name="scaled")(both))


class Direct(layers.Layer):
    """Calls operations itself, with all that they take."""

    def build(self, _):
        self.kernel = self.add_weight(shape=(3, 3, 1, 4), name="kernel")

    def call(self, inputs):
        ways = (1, (1, 1), (1,), [1, 1], np.int64(1))
        found = [keras.ops.conv(inputs, self.kernel, way, padding="SAME") for way in ways]
        found.append(keras.src.backend.nn.conv(inputs, self.kernel, padding="SAME"))
        ways = ((2, 2), 2, [2], np.int64(2), (1, 2, 2, 1))
        pooled = [keras.ops.max_pool(sum(found), way, padding="SAME") for way in ways]
        return sum(pooled) + keras.ops.max_pool(sum(found), 3, (2,), padding="same")


def direct():
    inputs = keras.Input((20, 20, 1), name="given")
    return keras.Model(inputs, Direct(name="direct")(inputs))


class Sloping(layers.Layer):
    """Returns gradients, which go to the first of equal largest values."""

    def call(self, inputs):
        rounded = keras.ops.round(inputs)
        with tf.GradientTape() as tape:
            tape.watch(rounded)
            pooled = keras.ops.max_pool(rounded, 2)
        return tape.gradient(pooled, rounded)


def sloping():
    inputs = keras.Input((16, 16, 3), name="given")
    return keras.Model(inputs, Sloping(name="sloping")(inputs))


MODELS = {
    "pictures": pictures,
    "series": series,
    "in-time": in_time,
    "dilated": dilated,
    "other-sums": other_sums,
    "direct": direct,
    "sloping": sloping,
}

NOT_FOLDED = ("series", "dilated", "sloping")


@pytest.fixture
def slow(monkeypatch):
    """As on a processor where TensorFlow does without oneDNN; tells what was built otherwise."""
    built = []
    own = tensorflow.faster_in_this_graph

    def watched():
        context = own()
        built.append(context)
        return context

    monkeypatch.setattr(tensorflow, "are_slow", lambda: True)
    monkeypatch.setattr(tensorflow, "faster_in_this_graph", watched)
    return built


@pytest.fixture
def folded(monkeypatch):
    """Every convolution that was folded."""
    found = []

    def watched(*words):
        result = folded_convolution(*words)
        found.extend([] if result is None else [result])
        return result

    monkeypatch.setattr(tensorflow_operations, "folded_convolution", watched)
    return found


def assert_recorded(path, model, data):
    expected_of = up_to_each_layer(model, data)
    with actscope.open(path) as recording:
        for name in recording:
            expected = expected_of[name]
            np.testing.assert_allclose(recording[name][:], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("slow")
def test_a_recording_equals_the_model_built_to_each_layer(name, tmp_path, folded):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    for weights in model.weights:  # a bias of zeros would tell nothing
        values = np.random.default_rng(1).normal(size=weights.shape)
        weights.assign(values / np.sqrt(np.prod(weights.shape[:-1])))  # so that outputs do not grow
    data = np.random.default_rng(0).normal(size=(10, *model.input_shape[1:])).astype(np.float32)
    names = [layer.name for layer in model.layers[1:]]
    actscope.extract(model, data, tmp_path / "all.h5", layers=names, batch_size=4)
    assert_recorded(tmp_path / "all.h5", model, data)
    assert bool(folded) == (name not in NOT_FOLDED)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_does_not_spread(value, tmp_path, folded):
    keras.utils.set_random_seed(0)
    model = pictures()
    data = np.random.default_rng(0).normal(size=(9, 20, 22, 1)).astype(np.float32)
    data[5, 10, 7, 0] = value
    actscope.extract(model, data, tmp_path / "all.h5", layers=["first", "pooled"], batch_size=3)
    assert folded
    assert_recorded(tmp_path / "all.h5", model, data)
    with actscope.open(tmp_path / "all.h5") as recording:
        assert np.isfinite(recording["first"][:]).mean() > 0.99


class OfThePolicy(layers.Layer):
    """Looks at a setting of the thread when it is called."""

    def call(self, inputs):
        return keras.ops.cast(inputs, keras.config.dtype_policy().compute_dtype)


@pytest.mark.usefixtures("slow", "folded")
def test_the_exact_function_is_made_where_the_caller_has_its_settings(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((20, 20, 1))
        first = layers.Conv2D(4, 3, dtype="float32", name="first")(inputs)
        model = keras.Model(inputs, OfThePolicy(dtype="float32", name="narrow")(first))
        data = np.random.default_rng(0).normal(size=(32, 20, 20, 1)).astype(np.float32)
        data[5, 3, 3] = np.nan
        layer_names = ["first", "narrow"]
        actscope.extract(model, data, tmp_path / "all.h5", layers=layer_names, batch_size=8)
        with actscope.open(tmp_path / "all.h5") as recording:
            np.testing.assert_allclose(recording["narrow"][:], model.predict(data), atol=1e-2)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("slow")
def test_a_branch_that_nobody_wants_is_not_computed_for_its_condition(monkeypatch, tmp_path):
    conditions = []
    own = tensorflow_operations.Faster.conditions

    def watched(self, outputs):
        conditions.append(own(self, outputs))
        return conditions[-1]

    monkeypatch.setattr(tensorflow_operations.Faster, "conditions", watched)
    inputs = keras.Input((20, 20, 1))
    aside = layers.Conv2D(1, 3, name="deep")(layers.Conv2D(2, 3, name="aside")(inputs))
    aside = layers.Flatten()(layers.Conv2D(4, 3, name="last")(aside))
    cheap = layers.Flatten()(layers.Conv2D(4, 3, name="cheap")(inputs))
    model = keras.Model(inputs, layers.Concatenate()([aside, cheap]))
    data = np.random.default_rng(0).normal(size=(4, 20, 20, 1)).astype(np.float32)
    actscope.extract(model, data, tmp_path / "one.h5", layers=["cheap"])
    actscope.extract(model, data, tmp_path / "two.h5", layers=["last"])
    assert [len(found) for found in conditions] == [1, 3]


def test_nothing_is_built_otherwise_where_gradients_are_wanted(tmp_path, slow):
    model = pictures()
    data = np.random.default_rng(0).normal(size=(4, 20, 22, 1)).astype(np.float32)
    actscope.extract(model, data, tmp_path / "all.h5", layers=["first"], gradients="predicted")
    assert not slow


def test_where_tensorflow_is_fast_nothing_is_built_otherwise(monkeypatch, tmp_path, folded):
    monkeypatch.setattr(tensorflow, "are_slow", lambda: False)
    data = np.random.default_rng(0).normal(size=(4, 20, 22, 1)).astype(np.float32)
    actscope.extract(pictures(), data, tmp_path / "all.h5", layers=["first"])
    assert not folded


WITHOUT_ONEDNN = """
import keras, numpy as np, actscope
from actscope_keras.tensorflow_operations import are_slow
assert are_slow()
inputs = keras.Input((16, 16, 1))
model = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu", name="first")(inputs))
data = np.random.default_rng(0).normal(size=(9, 16, 16, 1)).astype(np.float32)
with actscope.extract(model, data, PATH, batch_size=4) as recording:
    np.testing.assert_allclose(recording["first"][:], model.predict(data), rtol=1e-5, atol=1e-5)
"""


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="about processors")
def test_a_process_without_onednn(tmp_path):
    run_alone(WITHOUT_ONEDNN, tmp_path / "all.h5", TF_ENABLE_ONEDNN_OPTS="0")
