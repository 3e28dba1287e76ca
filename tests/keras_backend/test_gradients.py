"""Gradients against finite differences in float64, closed forms, and across ways to ask."""

from contextlib import contextmanager

import keras
import numpy as np
import pytest
from keras import layers, ops

import actscope
import models
from actscope.errors import DataError, GradientError, ModelError

random = np.random.default_rng(2)
GRADED = [models.nested, models.subclassed, models.shared_layer, models.recurrent]


@pytest.fixture(autouse=True)
def fresh():
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)


def softmax(values):
    exponents = np.exp(values - values.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def classifier(activation="softmax", classes=4):
    inputs = keras.Input((6, 6, 2), name="image")
    hidden = layers.Conv2D(3, 3, activation="tanh", name="conv")(inputs)
    hidden = layers.GlobalAveragePooling2D(name="pool")(hidden)
    outputs = layers.Dense(classes, activation=activation, name="out")(hidden)
    return keras.Model(inputs, outputs), random.normal(size=(9, 6, 6, 2)).astype(np.float32)


@contextmanager
def float64():
    if keras.config.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        if keras.config.backend() == "jax":
            import jax

            jax.config.update("jax_enable_x64", False)


def test_finite_differences_in_float64(tmp_path):
    # Of activations only those that Keras computes in float64 on every backend.
    with float64():
        inputs = keras.Input((5, 5, 2))
        convolution = layers.Conv2D(3, 3, activation="sigmoid", name="conv")
        out = layers.Dense(4, activation="sigmoid", name="out")
        flat = layers.Flatten(name="flat")
        hidden = convolution(inputs)
        model = keras.Model(inputs, out(flat(ops.square(hidden))))

        def objective(outputs):
            return ops.sum(outputs**3, axis=-1)

        data = random.normal(size=(5, 5, 5, 2)).astype(np.float32)
        recording = actscope.extract(
            model,
            data,
            tmp_path / "run.h5",
            layers="conv",
            gradients=objective,
            batch_size=2,
        )
        found = recording["conv"].gradient[:]
        assert found.dtype == np.float64

        kernel, bias = out.get_weights()

        def value(activations):
            logits = np.square(activations).reshape(5, -1) @ kernel + bias
            return ((1 / (1 + np.exp(-logits))) ** 3).sum(-1)

        activations = recording["conv"][:]
        expected = np.zeros_like(activations)
        for position in np.ndindex(3, 3, 3):
            moved = np.zeros((3, 3, 3))
            moved[position] = 1e-6
            up, down = value(activations + moved), value(activations - moved)
            expected[(slice(None), *position)] = (up - down) / 2e-6
    # Keras on PyTorch multiplies matrices in float32 even so.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_logit_of_a_class_whatever_stands_behind_it(tmp_path, activation):
    model, data = classifier(activation)
    recording = actscope.extract(
        model, data, tmp_path / "a.h5", gradients="predicted", batch_size=4
    )
    kernel, _ = model.get_layer("out").get_weights()
    predicted = model.predict(data, verbose=0).argmax(-1)
    np.testing.assert_allclose(
        recording["pool"].gradient[:], kernel[:, predicted].T, rtol=1e-5, atol=1e-7
    )
    # Through a mean over 16 positions and tanh: back from the pooled gradient by hand.
    conv = recording["conv"][:]
    expected = np.broadcast_to(kernel[:, predicted].T[:, None, None] / 16, conv.shape)
    np.testing.assert_allclose(recording["conv"].gradient[:], expected, rtol=1e-5, atol=1e-7)
    labels = np.arange(9) % 4
    recording = actscope.extract(model, data, tmp_path / "b.h5", gradients=labels, batch_size=4)
    np.testing.assert_allclose(
        recording["pool"].gradient[:], kernel[:, labels].T, rtol=1e-5, atol=1e-7
    )
    recording = actscope.extract(model, data, tmp_path / "c.h5", gradients=2, layers="pool")
    np.testing.assert_allclose(
        recording["pool"].gradient[:], np.repeat(kernel[:, 2:3].T, 9, 0), rtol=1e-5, atol=1e-7
    )


def test_a_softmax_layer_and_a_softmax_in_a_subclassed_model(tmp_path):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(5, activation="relu", name="first")
            self.second = layers.Dense(3, name="second")

        def call(self, inputs):
            return ops.softmax(self.second(self.first(inputs)))

    data = random.normal(size=(7, 4)).astype(np.float32)
    subclassed = Model()
    subclassed(data)
    functional = keras.Sequential(
        [keras.Input((4,)), subclassed.first, subclassed.second, layers.Softmax()]
    )
    kernel, _ = subclassed.second.get_weights()
    for number, model in enumerate((subclassed, functional)):
        recording = actscope.extract(
            model, data, tmp_path / f"{number}.h5", layers="first", gradients=1, batch_size=3
        )
        np.testing.assert_allclose(
            recording["first"].gradient[:], np.repeat(kernel[:, 1:2].T, 7, 0), rtol=1e-5
        )


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_the_compiled_loss_of_each_sample(tmp_path, reduction):
    model, data = classifier()
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(reduction=reduction))
    labels = np.arange(9) % 4
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers=["pool"], gradients="loss", y=labels, batch_size=4
    )
    kernel, bias = model.get_layer("out").get_weights()
    probabilities = softmax(recording["pool"][:] @ kernel + bias)
    expected = (probabilities - np.eye(4)[labels]) @ kernel.T
    np.testing.assert_allclose(recording["pool"].gradient[:], expected, rtol=1e-4, atol=1e-6)
    assert model.optimizer.iterations == 0


def test_the_loss_of_a_model_with_two_outputs(tmp_path):
    inputs = keras.Input((5,))
    hidden = layers.Dense(4, name="hidden")(inputs)
    outputs = {"a": layers.Dense(2, name="a")(hidden), "b": layers.Dense(3, name="b")(hidden)}
    model = keras.Model(inputs, outputs)
    model.compile(loss={"a": "mse", "b": "mse"}, loss_weights={"a": 1.0, "b": 0.5})
    data = random.normal(size=(7, 5)).astype(np.float32)
    y = {"a": np.ones((7, 2), np.float32), "b": np.zeros((7, 3), np.float32)}
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers="hidden", gradients="loss", y=y, batch_size=3
    )
    values = recording["hidden"][:]
    expected = 0
    for name, weight in (("a", 1.0), ("b", 0.5)):
        kernel, bias = model.get_layer(name).get_weights()
        error = values @ kernel + bias - y[name]
        expected = expected + weight * 2 / error.shape[1] * error @ kernel.T
    np.testing.assert_allclose(recording["hidden"].gradient[:], expected, rtol=1e-4, atol=1e-6)


def test_a_function_of_outputs_and_targets(tmp_path):
    model, data = classifier(None)
    targets = random.normal(size=(9, 4)).astype(np.float32)

    def distance(outputs, given):
        return ops.sum(ops.square(outputs - given))

    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers=["pool", "out"], gradients=distance, y=targets,
        batch_size=4,
    )  # fmt: skip
    error = 2 * (recording["out"][:] - targets)
    kernel, _ = model.get_layer("out").get_weights()
    np.testing.assert_allclose(recording["out"].gradient[:], error, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        recording["pool"].gradient[:], error @ kernel.T, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("make", [*GRADED])
def test_every_kind_of_model_has_gradients_equal_in_any_batch(tmp_path, make):
    model, data, _ = make()

    def objective(outputs):
        return sum(ops.sum(ops.square(output)) for output in keras.tree.flatten(outputs))

    runs = [
        actscope.extract(
            model, data, tmp_path / f"{size}.h5", layers="all", gradients=objective, batch_size=size
        )
        for size in (3, 10)
    ]
    found = 0
    for path in runs[0]:
        for small, large in zip(runs[0][path].outputs, runs[1][path].outputs, strict=True):
            if small.gradient is None:
                assert not small.logical_dtype.startswith("float")
                continue
            assert small.gradient.shape == small.shape
            np.testing.assert_allclose(
                small.gradient[:], large.gradient[:], rtol=1e-4, atol=1e-5, err_msg=path
            )
            found += 1
    assert found >= 2


def test_what_a_layer_passes_through_is_told_from_what_it_returns(tmp_path):
    inputs = keras.Input((4,))
    hidden = layers.Dense(4, name="hidden")(inputs)
    dropped = layers.Dropout(0.5, name="dropped")(hidden)
    outputs = layers.Dense(2, name="out")(hidden + 2 * dropped)
    model = keras.Model(inputs, outputs)
    data = random.normal(size=(5, 4)).astype(np.float32)
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers=["hidden", "dropped"], gradients=0
    )
    kernel, _ = model.get_layer("out").get_weights()
    column = np.repeat(kernel[:, :1].T, 5, 0)
    np.testing.assert_allclose(recording["dropped"].gradient[:], 2 * column, rtol=1e-5)
    np.testing.assert_allclose(recording["hidden"].gradient[:], 3 * column, rtol=1e-5)


def test_the_model_s_input_and_a_frozen_model(tmp_path):
    model, data = classifier(None)
    model.trainable = False
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers=["image", "conv"], gradients=0, batch_size=4
    )
    conv, kernel = model.get_layer("conv").kernel, model.get_layer("out").kernel
    conv, kernel = (np.array(ops.convert_to_numpy(weight)) for weight in (conv, kernel))
    backwards = kernel[:, 0] / 16 * (1 - recording["conv"][:] ** 2)
    expected = np.zeros(data.shape)
    for y in range(3):
        for x in range(3):
            expected[:, y : y + 4, x : x + 4] += backwards @ conv[y, x].T
    np.testing.assert_allclose(recording["image"][:], data)
    np.testing.assert_allclose(recording["image"].gradient[:], expected, rtol=1e-4, atol=1e-6)


def test_gradients_are_reduced_and_cast_like_the_outputs(tmp_path):
    model, data = classifier(None)
    whole = actscope.extract(model, data, tmp_path / "a.h5", layers="conv", gradients=0)
    small = actscope.extract(
        model, data, tmp_path / "b.h5", layers="conv", gradients=0, reduce="mean", dtype="float16"
    )
    gradient = small["conv"].gradient
    assert (gradient.shape, gradient.logical_dtype) == ((9, 3), "float16")
    expected = whole["conv"].gradient[:].mean((1, 2))
    np.testing.assert_allclose(gradient[:], expected, rtol=2e-3, atol=1e-6)


def test_impossible_gradients_say_why_and_leave_nothing(tmp_path):
    model, data = classifier()
    path = tmp_path / "run.h5"

    def refused(error, text, model=model, **words):
        with pytest.raises(error, match=text):
            actscope.extract(model, data, path, layers="conv", **words)

    refused(GradientError, "asks for the class 4.*0 to 3", gradients=4)
    refused(GradientError, "asks for the class -1", gradients=np.full(9, -1))
    refused(DataError, "8 labels for 9 samples", gradients=np.zeros(8, int))
    refused(GradientError, "has no loss: compile it", gradients="loss", y=np.zeros(9))
    refused(GradientError, "'predicted'", gradients="strongest")
    refused((GradientError, ModelError), "broken objective", gradients=_broken)
    model.compile(loss="mse")
    refused(GradientError, "loss cannot be computed", gradients="loss", y=np.zeros((9, 7)))
    two = keras.Model(model.inputs, [model.output, model.output])
    refused(GradientError, "not one output of classes", model=two, gradients=0)
    assert list(tmp_path.iterdir()) == []


def _broken(outputs):
    raise RuntimeError("a broken objective")


def by_hand(kernel, bias, x, y):
    probabilities = softmax(x @ kernel + bias)
    error = (probabilities - np.eye(bias.size)[y]) / len(x)
    return x.T @ error, error.sum(0)


def test_weight_gradients_of_the_compiled_loss():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax", kernel_regularizer="l2", name="out"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = random.normal(size=(23, 6)).astype(np.float32), np.arange(23) % 3
    kernel, bias = model.get_weights()
    expected = by_hand(kernel, bias, x, y)
    for batch_size in (4, 23, 100):
        found = actscope.weight_gradients(model, x, y, batch_size=batch_size)
        assert list(found) == ["out/kernel", "out/bias"]
        np.testing.assert_allclose(
            found["out/kernel"], expected[0] + 0.02 * kernel, rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(found["out/bias"], expected[1], rtol=1e-4, atol=1e-6)
    for before, after in zip((kernel, bias), model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_weight_gradients_of_a_summed_loss_and_of_wrong_input():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="out")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    x, y = random.normal(size=(10, 6)).astype(np.float32), np.arange(10) % 3
    with pytest.raises(GradientError, match="has no loss"):
        actscope.weight_gradients(model, x, y)
    model.compile(loss=loss)
    expected = by_hand(*model.get_weights(), x, y)
    found = actscope.weight_gradients(model, x, y, batch_size=4)
    np.testing.assert_allclose(found["out/kernel"], expected[0] * 10, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="for 10 samples"):
        actscope.weight_gradients(model, x, y[:7])
