"""Models built alike by Keras 2 and Keras 3, for the comparison with Keract. Imports neither."""

from collections.abc import Callable
from typing import Any

import numpy as np


def _convnet(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(6, 5, activation="relu", name="conv_1"),
            layers.MaxPooling2D(3, name="pool"),
            layers.Dropout(0.25, name="dropout"),
            layers.Conv2D(10, 3, activation="relu", name="conv_2"),
            layers.Flatten(name="flat"),
            layers.Dense(32, activation="relu", name="dense"),
            layers.Dense(10, name="out"),
        ],
        name="convnet",
    )


def _functional(keras: Any, inputs: Any, make: Callable[[Any], Any]) -> Any:
    return keras.Model(inputs, make(inputs))


def _two_inputs(keras: Any) -> Any:
    layers = keras.layers
    first, second = keras.Input((10,), name="i1"), keras.Input((10,), name="i2")
    a, b = layers.Dense(3, name="fc1")(first), layers.Dense(3, name="fc2")(second)
    both = layers.Concatenate(name="concat")([a, b])
    return keras.Model([first, second], layers.Dense(1, name="out")(both))


def _residual(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((8, 8, 4), name="maps")
    hidden = layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv")(inputs)
    hidden = layers.BatchNormalization(name="normal")(hidden)
    hidden = layers.Add(name="sum")([inputs, hidden])
    hidden = layers.GlobalAveragePooling2D(name="pool")(hidden)
    return keras.Model(inputs, layers.Dense(2, name="out")(hidden))


def _chain(shape: tuple[int, ...], *names: tuple[str, dict[str, Any]]) -> Callable[[Any], Any]:
    def build(keras: Any) -> Any:
        inputs = keras.Input(shape, name="x")
        hidden = inputs
        for position, (kind, words) in enumerate(names):
            layer = getattr(keras.layers, kind)
            hidden = layer(**words, name=f"{kind.lower()}_{position}")(hidden)
        return keras.Model(inputs, hidden)

    return build


MODELS: dict[str, Callable[[Any], Any]] = {
    "convnet": _convnet,
    "two inputs": _two_inputs,
    "residual": _residual,
    "multilayer": _chain(
        (12,),
        ("Dense", {"units": 8, "activation": "relu"}),
        ("Dense", {"units": 6, "activation": "elu"}),
        ("Dense", {"units": 1}),
    ),
    "lstm": _chain(
        (7, 3),
        ("LSTM", {"units": 5, "return_sequences": True}),
        ("LSTM", {"units": 4}),
        ("Dense", {"units": 1}),
    ),
    "gru": _chain((7, 3), ("GRU", {"units": 5}), ("Dense", {"units": 2})),
    "simple rnn": _chain((6, 2), ("SimpleRNN", {"units": 4}), ("Dense", {"units": 1})),
    "series": _chain(
        (20, 2),
        ("Conv1D", {"filters": 4, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling1D", {}),
        ("GlobalAveragePooling1D", {}),
        ("Dense", {"units": 1}),
    ),
    "depthwise": _chain(
        (10, 10, 3),
        ("DepthwiseConv2D", {"kernel_size": 3}),
        ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "activation": "tanh"}),
        ("Flatten", {}),
        ("Dense", {"units": 1}),
    ),
    "decoder": _chain(
        (4, 4, 3),
        ("UpSampling2D", {}),
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "activation": "tanh"}),
        ("ZeroPadding2D", {}),
        ("AveragePooling2D", {"pool_size": 2}),
        ("Flatten", {}),
        ("Dense", {"units": 1}),
    ),
    "normalized": _chain(
        (9,),
        ("Dense", {"units": 8}),
        ("LayerNormalization", {}),
        ("LeakyReLU", {}),
        ("Dense", {"units": 2}),
    ),
    "volume": _chain(
        (6, 6, 6, 1),
        ("Conv3D", {"filters": 2, "kernel_size": 3, "activation": "relu"}),
        ("MaxPooling3D", {}),
        ("Flatten", {}),
        ("Dense", {"units": 1}),
    ),
}
"""By name; each value builds the model with the `keras` it is given."""


def inputs_of(model: Any, samples: int = 6) -> list[Any]:
    """The same random inputs for the same model, one array per input."""
    random = np.random.default_rng(0)
    return [
        random.normal(size=(samples, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]


def targets_of(model: Any, samples: int = 6) -> Any:
    """Targets for a mean squared error."""
    shape = (samples, *model.outputs[0].shape[1:])
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def weights_of(model: Any) -> list[Any]:
    """The same random weights for the same model, in its order."""
    random = np.random.default_rng(2)
    return [np.abs(random.normal(0.1, 0.3, weight.shape)) for weight in model.get_weights()]
