"""Reductions and casts on the device, against NumPy on what was stored whole."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import actscope
from actscope.errors import ActscopeWarning, ReductionError

random = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def fresh():
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)


def tokens_model(mask_zero=False):
    ids = keras.Input((6,), dtype="int32", name="ids")
    hidden = layers.Embedding(20, 5, mask_zero=mask_zero, name="embedding")(ids)
    hidden = layers.LSTM(4, return_sequences=True, name="lstm")(hidden)
    data = random.integers(1, 20, (9, 6)).astype(np.int32)
    data[0, 4:] = data[3, 1:] = 0
    return keras.Model(ids, layers.Dense(3, name="out")(hidden)), data


def test_several_reductions_of_one_layer_are_several_datasets(tmp_path):
    model, data = tokens_model()
    whole = actscope.extract(model, data, tmp_path / "whole.h5", batch_size=4)["lstm"][:]
    recording = actscope.extract(
        model,
        data,
        tmp_path / "run.h5",
        reduce={"lstm": ["token:0", "token:-1", "mean", "channels:1:3"], "out": "flatten"},
        batch_size=4,
    )
    found = {output.reduction: output[:] for output in recording["lstm"].outputs}
    np.testing.assert_allclose(found["token:0"], whole[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["token:-1"], whole[:, -1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["mean"], whole.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["channels:1:3"], whole[..., 1:3], rtol=1e-5, atol=1e-6)
    assert recording["embedding"].reduction == "none"
    assert recording["out"].shape == (9, 18)
    assert recording["lstm"].outputs[0].unreduced_shape == (6, 4)


@pytest.mark.parametrize("mask", ["layer", "input"])
def test_masked_means(tmp_path, mask):
    model, data = tokens_model(mask_zero=mask == "layer")
    text = "masked_mean" if mask == "layer" else "masked_mean:ids"
    whole = actscope.extract(model, data, tmp_path / "whole.h5", layers="lstm", batch_size=4)
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers="lstm", reduce=text, batch_size=4
    )
    values = whole["lstm"][:]
    expected = [values[row, data[row] != 0].mean(0) for row in range(9)]
    np.testing.assert_allclose(recording["lstm"][:], expected, rtol=1e-4, atol=1e-6)
    if mask == "input":
        stored = actscope.extract(
            model, data, tmp_path / "stored.h5", layers="lstm", store_inputs=True
        )
        found = actscope.reduce(stored["lstm"], text)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_mask_that_is_not_there_is_said(tmp_path):
    model, data = tokens_model()
    with pytest.raises(ReductionError, match="returns no mask"):
        actscope.extract(model, data, tmp_path / "run.h5", layers="lstm", reduce="masked_mean")
    with pytest.raises(ReductionError, match=r"no input 'padding'.*'ids'"):
        actscope.extract(
            model, data, tmp_path / "run.h5", layers="lstm", reduce="masked_mean:padding"
        )
    assert list(tmp_path.iterdir()) == []


def test_too_large_values_are_counted_once_and_padding_is_not(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Rescaling(1e5, name="large")(inputs))
    data = np.zeros((7, 4), np.float32)
    data[6] = [1, 0, -1, 0.5]  # the last row, which pads the last batch of 5
    data[2, 0] = np.inf
    with pytest.warns(ActscopeWarning, match=r"2 values are too large .*2 in 'large'") as caught:
        recording = actscope.extract(
            model, data, tmp_path / "run.h5", dtype="float16", batch_size=5
        )
    assert len(caught) == 1
    assert np.isinf(recording["large"][6]).tolist() == [True, False, True, False]
    assert recording["large"].logical_dtype == "float16"


@pytest.mark.parametrize("beside", [0.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("value", "count"), [(65_519.0, 0), (65_520.0, 1), (-65_519.0, 0), (-65_520.0, 1), (3e38, 1)]
)
def test_values_are_too_large_where_rounding_makes_them_infinite(tmp_path, value, count, beside):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Rescaling(1.0, name="same")(inputs))
    data = np.zeros((6, 4), np.float32)
    data[4, :2] = value, beside
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ActscopeWarning)
        actscope.extract(model, data, tmp_path / "run.h5", dtype="float16", batch_size=3)
    said = [str(one.message) for one in caught if one.category is ActscopeWarning]
    assert [message.split()[0] for message in said] == ["1"] * count


def test_bfloat16_is_rounded_to_nearest(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Rescaling(1.0, name="same")(inputs))
    data = random.normal(size=(7, 4)).astype(np.float32)
    recording = actscope.extract(model, data, tmp_path / "run.h5", dtype="bfloat16", batch_size=5)
    bits = data.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    np.testing.assert_array_equal(recording["same"][:], rounded.view(np.float32))


def test_sums_of_low_precision_are_formed_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((30, 30, 2))
        model = keras.Model(inputs, layers.Conv2D(3, 3, name="conv")(inputs))
    finally:
        keras.config.set_dtype_policy("float32")
    data = random.random((5, 30, 30, 2)).astype(np.float32)
    whole = actscope.extract(model, data, tmp_path / "whole.h5", batch_size=3)["conv"][:]
    recording = actscope.extract(model, data, tmp_path / "run.h5", reduce="mean", batch_size=3)
    assert recording["conv"].logical_dtype == "float32"
    expected = whole.astype(np.float64).mean((1, 2))
    # Not closer: compilers may leave out the rounding to bfloat16 before the sum.
    np.testing.assert_allclose(recording["conv"][:], expected, rtol=1e-3, atol=1e-5)


def test_a_quantized_model(tmp_path):
    inputs = keras.Input((8,))
    hidden = layers.Dense(16, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(4, name="out")(hidden))
    data = random.normal(size=(9, 8)).astype(np.float32)
    model.quantize("int8")
    expected = ops.convert_to_numpy(keras.Model(inputs, hidden)(data))
    recording = actscope.extract(model, data, tmp_path / "run.h5", batch_size=4, reduce="none")
    assert list(recording) == ["hidden", "out"]
    np.testing.assert_allclose(recording["hidden"][:], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        recording["out"][:], model.predict(data, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_the_model_s_inputs_and_its_own_output(tmp_path):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, inputs):
            return {"probabilities": ops.softmax(self.dense(inputs["a"] + inputs["b"])), "b": None}

    model = Model()
    data = {name: random.normal(size=(7, 4)).astype(np.float32) for name in "ab"}
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers=["b", "dense", "output"], batch_size=3
    )
    assert list(recording) == ["b", "dense", "output"]
    np.testing.assert_array_equal(recording["b"][:], data["b"])
    assert recording["output"].key == "probabilities"
    np.testing.assert_allclose(recording["output"][:].sum(-1), 1, rtol=1e-5)
    assert list(actscope.extract(model, data, tmp_path / "all.h5", layers="all")) == ["dense"]
