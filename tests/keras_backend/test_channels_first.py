import keras
import numpy as np
import pytest

import actscope


@pytest.mark.skipif(
    keras.config.backend() == "tensorflow", reason="TensorFlow on CPUs has no such convolutions"
)
def test_channels_first_models_are_labelled_so(tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3, 8, 10)),
            layers.Conv2D(4, 3, data_format="channels_first", name="conv"),
            layers.BatchNormalization(axis=1, name="norm"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flatten"),
        ]
    )
    data = np.random.default_rng(0).random((5, 3, 8, 10), np.float32)
    recording = actscope.extract(model, data, tmp_path / "run.h5", batch_size=2)
    for name in ("conv", "norm", "relu"):
        assert recording[name].dims == ("sample", "channel", "y", "x")
        assert recording[name].shape == (5, 4, 6, 8)
        assert recording[name].data_format == "channels_first"
    expected = keras.ops.convert_to_numpy(model.layers[0](data))
    np.testing.assert_allclose(recording["conv"][:], expected, rtol=2e-5, atol=2e-6)


def test_channels_first_pooling(tmp_path):
    layers = keras.layers
    inputs = keras.Input((3, 8, 6))
    pooled = layers.MaxPooling2D(2, data_format="channels_first", name="pooled")(inputs)
    averaged = layers.AveragePooling2D((2, 1), data_format="channels_first", name="averaged")
    model = keras.Model(inputs, averaged(pooled))
    data = np.random.default_rng(0).random((5, 3, 8, 6), np.float32)
    with actscope.extract(model, data, tmp_path / "run.h5") as recording:
        expected = data.reshape(5, 3, 4, 2, 3, 2).max(axis=(3, 5))
        np.testing.assert_array_equal(recording["pooled"][:], expected)
        expected = expected.reshape(5, 3, 2, 2, 3).mean(axis=3)
        np.testing.assert_allclose(recording["averaged"][:], expected, rtol=1e-6)
