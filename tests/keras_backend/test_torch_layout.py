"""With PyTorch the channels are moved without a copy, and every layer gives what it gives alone."""

import keras
import numpy as np
import pytest
from keras import layers

import actscope
from actscope.planning import plan_wanted
from actscope.protocol import Inputs
from actscope.registry import adapter_for
from actscope.selection import select
from threads import pytorch_threads

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch
from torch.utils._python_dispatch import TorchDispatchMode

STACKS = {
    "1d": (
        (17, 3),
        [
            layers.Conv1D(4, 3, padding="same", strides=2),
            layers.MaxPooling1D(2, padding="same"),
            layers.AveragePooling1D(2, strides=1),
            layers.Conv1DTranspose(3, 3, strides=2),
            layers.SeparableConv1D(5, 2),
        ],
    ),
    "2d": (
        (13, 11, 3),
        [
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(3, strides=2, padding="same"),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.AveragePooling2D(2, padding="same"),
            layers.Conv2DTranspose(3, 2, strides=2),
            layers.Reshape((-1, 3)),
        ],
    ),
    "3d": (
        (7, 6, 5, 2),
        [
            layers.Conv3D(4, 2, strides=2, padding="same"),
            layers.MaxPooling3D(2, padding="same"),
            layers.AveragePooling3D(1),
            layers.Conv3DTranspose(2, 2),
        ],
    ),
}


@pytest.fixture(autouse=True)
def _one_thread():
    """More of them add up in another order, which changes the last bit."""
    with pytorch_threads(1):
        yield


@pytest.fixture(params=STACKS)
def model(request):
    shape, stack = STACKS[request.param]
    keras.utils.set_random_seed(0)
    named = [
        type(layer).from_config({**layer.get_config(), "name": f"l{number}"})
        for number, layer in enumerate(stack)
    ]
    return keras.Sequential([keras.Input(shape), *named])


def data_for(model, rows=6):
    shape = (rows, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_every_layer_gives_what_it_gives_alone(model, tmp_path):
    data = data_for(model)
    actscope.extract(model, data, tmp_path / "all.h5", batch_size=4)
    with actscope.open(tmp_path / "all.h5") as recording:
        for layer in model.layers:
            upto = keras.Model(model.inputs, layer.output)
            expected = upto.predict(data, batch_size=4, verbose=0)
            np.testing.assert_array_equal(recording[layer.name][:], expected)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float64"])
def test_pooling_of_other_dtypes(dtype, tmp_path):
    inputs = keras.Input((20, 20, 3), dtype=dtype)
    model = keras.Model(inputs, layers.MaxPooling2D(2, dtype=dtype, name="pooled")(inputs))
    data = np.random.default_rng(0).integers(0, 200, (5, 20, 20, 3)).astype(dtype)
    actscope.extract(model, data, tmp_path / "all.h5")
    expected = data.reshape(5, 10, 2, 10, 2, 3).max(axis=(2, 4))
    with actscope.open(tmp_path / "all.h5") as recording:
        np.testing.assert_array_equal(recording["pooled"][:], expected)


class Copies(TorchDispatchMode):
    """Counts the tensors that are copied as they are."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.clone, torch.ops.aten.contiguous):
            self.shapes.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


def test_pictures_are_not_copied_on_their_way():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, name="first"),
            layers.MaxPooling2D(2, name="pooled"),
            layers.Conv2D(4, 3, name="second"),
        ]
    )
    data = data_for(model)
    trace = adapter_for(model).trace(model, Inputs((data,)))
    step = trace.compile(plan_wanted(select(trace.layers, "all")), len(data))
    with Copies() as copies:
        step.fetch(step.launch(step.stage([data])))
    rows_copied = [shape for shape in copies.shapes if shape[0] == len(data)]
    assert rows_copied == []


def test_keras_is_as_it_was_after_a_recording(tmp_path):
    from keras.src.backend.torch import nn

    before = nn._transpose_spatial_inputs
    model = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(4, 3)])
    actscope.extract(model, data_for(model), tmp_path / "all.h5")
    assert nn._transpose_spatial_inputs is before
