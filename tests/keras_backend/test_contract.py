"""The adapter passes the contract on whichever backend this process runs."""

import keras
import numpy as np
from keras import layers

from actscope.testing import AdapterContract
from actscope_keras import KerasAdapter


class Failing(keras.Model):
    def call(self, inputs):
        raise RuntimeError("this model is broken")


class TestKerasAdapter(AdapterContract):
    adapter = KerasAdapter()
    input_shape = (8, 8, 2)

    def model(self):
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        return keras.Sequential(
            [
                keras.Input(self.input_shape, name="image"),
                layers.Conv2D(3, 3, activation="tanh", name="conv"),
                layers.Dropout(0.5, name="dropout"),
                layers.AveragePooling2D(2, name="pool"),
                layers.Flatten(name="flat"),
                layers.Dense(5, activation="tanh", name="dense"),
                layers.Dense(4, name="out"),
            ]
        )

    def failing_model(self):
        return Failing()

    def reference(self, model, inputs):
        weights = {
            layer.name: [np.array(keras.ops.convert_to_numpy(w)) for w in layer.weights]
            for layer in model.layers
        }
        windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), axis=(1, 2))
        kernel, bias = weights["conv"]
        conv = np.tanh(np.einsum("nyxcij,ijcf->nyxf", windows, kernel) + bias)
        pool = conv.reshape(len(inputs), 3, 2, 3, 2, 3).mean((2, 4))
        flat = pool.reshape(len(inputs), -1)
        dense = np.tanh(flat @ weights["dense"][0] + weights["dense"][1])
        out = dense @ weights["out"][0] + weights["out"][1]
        found = {"conv": conv, "dropout": conv, "pool": pool, "flat": flat, "dense": dense}
        return {**found, "out": out}
