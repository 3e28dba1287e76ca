"""Keract's interface on Keras 3, against references that know nothing of actscope."""

import re
from pathlib import Path

import keras
import matplotlib as mpl
import numpy as np
import pytest
from keras import Input, Model, layers, ops

import actscope
import models
from actscope import keract
from actscope.errors import GradientError
from actscope.keract import get_activations

mpl.use("Agg")
random = np.random.default_rng(3)
PAGE = Path(__file__).parents[2] / "docs" / "from-keract.md"


@pytest.fixture(autouse=True)
def fresh():
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)


def two_inputs():
    first, second = Input((10,), name="i1"), Input((10,), name="i2")
    a = layers.Dense(1, name="fc1")(first)
    b = layers.Dense(1, name="fc2")(second)
    out = layers.Dense(1, name="out")(layers.Concatenate(name="concat")([a, b]))
    x = [random.uniform(size=(32, 10)), random.uniform(size=(32, 10))]
    return Model([first, second], [out]), x


def nested():
    inner = keras.Sequential(
        [Input((4,)), layers.Dense(3, activation="tanh", name="fc1"), layers.Dense(2, name="fc2")],
        name="block",
    )
    inputs = Input((4,), name="x")
    model = Model(inputs, layers.Dense(1, name="last")(inner(inputs)))
    return model, inner, random.normal(size=(5, 4)).astype(np.float32)


def test_inputs_come_first_then_layers_in_order():
    model, x = two_inputs()
    found = get_activations(model, x)
    assert list(found) == ["i1", "i2", "fc1", "fc2", "concat", "out"]
    assert found["i1"] is x[0]
    a, b = model.get_layer("fc1").get_weights()
    np.testing.assert_allclose(found["fc1"], x[0] @ a + b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["out"], model.predict(x, verbose=0), rtol=1e-4, atol=1e-5)
    assert not model.compiled


def test_names_formats_and_nodes():
    model, x = two_inputs()
    assert list(get_activations(model, x, layer_names="fc2")) == ["fc2"]
    assert list(get_activations(model, x, ["out", "i2", "fc1"])) == ["i2", "fc1", "out"]
    assert list(get_activations(model, x, output_format="numbered")) == [0, 1, 2, 3, 4, 5]
    assert list(get_activations(model, x, ["fc1"], output_format="full")) == ["fc1:0"]
    nodes = [model.get_layer("concat").output, model.get_layer("fc1").output]
    found = get_activations(model, x, nodes_to_evaluate=nodes)
    assert list(found) == ["concat", "fc1"]
    np.testing.assert_allclose(found["concat"][:, :1], found["fc1"])


def test_wrong_names_and_words():
    model, x = two_inputs()
    with pytest.raises(
        KeyError, match=r"\[fc9\]. Network layers are \[i1, i2, fc1, fc2, concat, out"
    ):
        get_activations(model, x, layer_names="fc9")
    with pytest.raises(ValueError, match="nodes_to_evaluate"):
        get_activations(model, x, layer_names="fc1", nodes_to_evaluate=[model.output])
    with pytest.raises(ValueError, match="simple, full, numbered"):
        get_activations(model, x, output_format="short")
    with pytest.raises(KeyError, match="no output of a layer"):
        get_activations(model, x, nodes_to_evaluate=[Input((3,))])
    with pytest.raises(actscope.ActscopeError):
        get_activations("vgg16", x)


def test_nested_models():
    model, inner, x = nested()
    assert list(get_activations(model, x)) == ["x", "block", "last"]
    found = get_activations(model, x, nested=True)
    assert list(found) == ["x", "block/fc1", "block/fc2", "last"]
    kernel, bias = inner.get_layer("fc1").get_weights()
    np.testing.assert_allclose(found["block/fc1"], np.tanh(x @ kernel + bias), rtol=1e-4, atol=1e-5)
    assert list(get_activations(model, x, ["block/fc2"], nested=True)) == ["block/fc2"]


def test_several_outputs_are_a_list():
    inputs = Input((5, 3), name="series")
    hidden, state, carry = layers.LSTM(4, return_sequences=True, return_state=True, name="lstm")(
        inputs
    )
    timed = layers.TimeDistributed(layers.Dense(2, name="inner"), name="timed")(hidden)
    model = Model(inputs, [timed, state, carry])
    x = random.normal(size=(3, 5, 3)).astype(np.float32)
    found = get_activations(model, x)
    assert list(found) == ["series", "lstm", "timed"]
    assert [part.shape for part in found["lstm"]] == [(3, 5, 4), (3, 4), (3, 4)]
    np.testing.assert_allclose(found["lstm"][0][:, -1], found["lstm"][1], rtol=1e-5)
    nodes = get_activations(model, x, nodes_to_evaluate=[carry])
    np.testing.assert_array_equal(nodes["lstm:2"], found["lstm"][2])
    assert list(get_activations(model, x, nested=True)) == ["series", "lstm", "timed"]


def test_a_layer_with_input_in_its_name_is_not_dropped():
    inputs = Input((4,), name="x")
    model = Model(inputs, layers.Dense(2, name="my_input_layer")(inputs))
    assert list(get_activations(model, np.ones((2, 4)))) == ["x", "my_input_layer"]


def test_data_of_any_length_in_batches():
    model, x = two_inputs()
    whole = [np.tile(part, (10, 1))[:300] for part in x]
    found = get_activations(model, whole)
    assert found["fc1"].shape == (300, 1)
    np.testing.assert_allclose(found["fc1"][32:64], found["fc1"][:32], rtol=1e-5, atol=1e-6)


def test_a_second_call_compiles_nothing_and_sees_new_weights(monkeypatch):
    from actscope_keras.tracing import KerasTrace

    compiled = []
    original = KerasTrace.compile

    def counting(self, *words):
        compiled.append(words)
        return original(self, *words)

    monkeypatch.setattr(KerasTrace, "compile", counting)
    model, _, x = nested()
    first = get_activations(model, x)
    model.set_weights([weight * 2 for weight in model.get_weights()])
    second = get_activations(model, x)
    assert len(compiled) == 1
    np.testing.assert_allclose(second["last"], model.predict(x, verbose=0), rtol=1e-4)
    assert np.abs(first["last"] - second["last"]).max() > 1e-3


def test_a_subclassed_model():
    model, data, expected = models.subclassed()
    found = get_activations(model, data)
    for name in ("first", "second", "head"):
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, atol=2e-6)


def test_gradients_of_the_loss_over_all_samples():
    model, _, x = nested()
    y = random.normal(size=(5, 1)).astype(np.float32)
    with pytest.raises(GradientError, match="has no loss"):
        keract.get_gradients_of_activations(model, x, y)
    model.compile("adam", "mse")
    out = model.predict(x, verbose=0)
    found = keract.get_gradients_of_activations(model, x, y, nested=True)
    assert list(found) == ["block/fc1", "block/fc2", "last"]
    error = 2 * (out - y) / 5
    np.testing.assert_allclose(found["last"], error, rtol=1e-4, atol=1e-6)
    kernel, _ = model.get_layer("last").get_weights()
    np.testing.assert_allclose(found["block/fc2"], error @ kernel.T, rtol=1e-4, atol=1e-6)
    single = keract.get_gradients_of_activations(model, x, y, layer_names="last")
    assert list(single) == ["last"]
    weights = keract.get_gradients_of_trainable_weights(model, x, y)
    assert list(weights) == [
        *("block/fc1/kernel:0", "block/fc1/bias:0", "block/fc2/kernel:0", "block/fc2/bias:0"),
        *("last/kernel:0", "last/bias:0"),
    ]
    np.testing.assert_allclose(weights["last/bias:0"], error.sum(0), rtol=1e-4, atol=1e-6)


def test_vgg16_and_transfer_learning(tmp_path):
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    base.trainable = False
    inputs = Input((32, 32, 3), name="photo")
    pooled = layers.GlobalAveragePooling2D(name="pooled")(base(inputs))
    model = Model(inputs, layers.Dense(2, activation="softmax", name="head")(pooled))
    x = random.random((1, 32, 32, 3), np.float32)
    found = get_activations(model, x, nested=True)
    assert list(found)[:3] == ["photo", "vgg16/block1_conv1", "vgg16/block1_conv2"]
    assert found["vgg16/block5_pool"].shape == (1, 1, 1, 512)
    some = {name: found[name] for name in ("photo", "vgg16/block1_conv1")}
    keract.display_heatmaps(some, x, directory=tmp_path, save=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0_photo.png", "1_vgg16.png"]


def test_the_tutorial_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (script,) = re.findall(r"```python\n(# The tutorial.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(script, str(PAGE), "exec"), {"__name__": "__main__"})
    assert len(list((tmp_path / "activations").iterdir())) >= 7
    assert len(list((tmp_path / "heatmaps").iterdir())) >= 4


def test_operations_of_a_functional_graph_are_there():
    inputs = Input((4,), name="x")
    hidden = layers.Dense(3, name="dense")(inputs)
    model = Model(inputs, ops.relu(hidden))
    found = get_activations(model, random.normal(size=(2, 4)).astype(np.float32))
    assert list(found) == ["x", "dense", "relu"]
    np.testing.assert_allclose(found["relu"], np.maximum(found["dense"], 0))
