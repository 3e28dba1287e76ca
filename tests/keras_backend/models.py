"""Models of every kind, and what their layers compute by an independent way.

Each function returns the model, its data, and the expected activations by layer path; a layer with
several outputs or calls has a list.
"""

import keras
import numpy as np

layers, ops = keras.layers, keras.ops
random = np.random.default_rng(0)


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def up_to_each_layer(model, data):
    """A plain Keras model up to each layer of a functional model."""
    expected = {}
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            expected[layer.name] = numpy(keras.Model(model.inputs, layer.output)(data))
    return expected


def sequential():
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Dropout(0.5, name="dropout"),
            layers.Flatten(name="flatten"),
            layers.Dense(4, activation="softmax", name="dense"),
        ]
    )
    data = random.random((10, 12, 12, 1), np.float32)
    return model, data, up_to_each_layer(model, data)


def several_inputs_and_outputs():
    image, number = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="number")
    padded = layers.ZeroPadding2D(1, name="pad")(image)  # makes a keras.ops.Pad at every call
    convolved = layers.Conv2D(5, 3, name="conv")(padded)
    joined = layers.Concatenate(name="join")(
        [layers.GlobalAveragePooling2D(name="pool")(convolved), number]
    )
    outputs = {"a": layers.Dense(2, name="a")(joined), "b": layers.Dense(3, name="b")(joined)}
    model = keras.Model([image, number], outputs)
    data = [random.random((10, 8, 8, 3), np.float32), random.random((10, 4), np.float32)]
    return model, data, up_to_each_layer(model, data)


def dict_of_inputs():
    inputs = {name: keras.Input((3,), name=name) for name in ("zebra", "apple")}
    total = layers.Add(name="add")([layers.Dense(4, name=f"d_{n}")(t) for n, t in inputs.items()])
    model = keras.Model(inputs, layers.Dense(2, name="out")(total))
    data = {name: random.random((10, 3), np.float32) for name in inputs}
    return model, data, up_to_each_layer(model, data)


def shared_layer():
    shared = layers.Dense(4, name="shared")
    first, second = keras.Input((3,), name="first"), keras.Input((3,), name="second")
    model = keras.Model(
        [first, second], layers.Subtract(name="minus")([shared(first), shared(second)])
    )
    data = [random.random((10, 3), np.float32) for _ in range(2)]
    calls = [numpy(shared(part)) for part in data]
    return model, data, {"shared": calls, "minus": calls[0] - calls[1]}


def nested():
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation="tanh", name="hidden"), layers.Dense(4)],
        name="inner",
    )
    inner.layers[1].name = "last"
    outside = keras.Input((6,))
    block = keras.Model(outside, layers.Dense(3, name="hidden")(inner(outside)), name="block")
    outermost = keras.Input((6,))
    model = keras.Model(outermost, layers.Dense(2, name="out")(block(outermost)))
    data = random.random((10, 6), np.float32)
    hidden, last = (numpy(keras.Model(inner.inputs, part.output)(data)) for part in inner.layers)
    return (
        model,
        data,
        {
            "block/inner/hidden": hidden,
            "block/inner/last": last,
            "block/inner": last,
            "block/hidden": numpy(block(data)),
            "block": numpy(block(data)),
            "out": numpy(model(data)),
        },
    )


class Residual(layers.Layer):
    """A layer of layers, kept in a list and a dict."""

    def __init__(self, **words):
        super().__init__(**words)
        self.stack = [layers.Dense(6, activation="relu", name=f"dense_{n}") for n in range(2)]
        self.named = {"norm": layers.LayerNormalization(name="norm")}

    def call(self, inputs):
        hidden = inputs
        for layer in self.stack:
            hidden = layer(hidden)
        return self.named["norm"](hidden + inputs)


class Subclassed(keras.Model):
    """A model without a graph, with an output that no layer gives."""

    def __init__(self):
        super().__init__()
        self.blocks = [Residual(name="first"), Residual(name="second")]
        self.head = layers.Dense(3, name="head")
        self.unused = layers.Dense(3, name="unused")

    def call(self, inputs, training=None):
        hidden = inputs
        for block in self.blocks:
            hidden = block(hidden)
        return ops.softmax(self.head(hidden))


def subclassed():
    model = Subclassed()
    data = random.random((10, 6), np.float32)
    model(data)
    expected, hidden = {}, ops.convert_to_tensor(data)
    for block in model.blocks:
        start = hidden
        for layer in block.stack:
            hidden = layer(hidden)
            expected[f"{block.name}/{layer.name}"] = numpy(hidden)
        hidden = block.named["norm"](hidden + start)
        expected[f"{block.name}/norm"] = expected[block.name] = numpy(hidden)
    expected["head"] = numpy(model.head(hidden))
    return model, data, expected


def recurrent():
    inputs = keras.Input((7,), dtype="int32")
    embedded = layers.Embedding(20, 6, name="embedding")(inputs)
    sequence, state, carry = layers.LSTM(5, return_sequences=True, return_state=True, name="lstm")(
        embedded
    )
    timed = layers.TimeDistributed(layers.Dense(3, name="inner"), name="timed")(sequence)
    both = layers.Bidirectional(layers.GRU(4), name="both")(timed)
    model = keras.Model(inputs, layers.Concatenate(name="out")([both, state, carry]))
    data = random.integers(0, 20, (10, 7)).astype(np.int32)
    expected = up_to_each_layer(model, data)
    return model, data, expected


def operations():
    inputs = keras.Input((5,))
    hidden = layers.Dense(4, name="dense")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="out")(ops.relu(hidden) + 1.0))
    data = random.normal(size=(10, 5)).astype(np.float32)
    dense = numpy(keras.Model(inputs, hidden)(data))
    rectified = np.maximum(dense, 0)
    return model, data, {"dense": dense, "relu": rectified, "add": rectified + 1}


ALL = [
    sequential,
    several_inputs_and_outputs,
    dict_of_inputs,
    shared_layer,
    nested,
    subclassed,
    recurrent,
    operations,
]
