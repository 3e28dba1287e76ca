"""Max pooling of few channels on a CPU gives what PyTorch's own gives."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch
from hypothesis import given
from hypothesis import strategies as st

import actscope
from actscope_keras import torch_operations
from actscope_keras.torch_pooling import FEW_CHANNELS, is_slow, max_pool

VALUES = st.sampled_from([-np.inf, -2.5, -1.0, 0.0, 1.0, 3.0, np.inf, np.nan])


@st.composite
def poolings(draw):
    """Values, and how they are pooled, of one to three axes."""
    axes = draw(st.integers(1, 3))
    per_axis = st.tuples(*[st.integers(1, 4)] * axes)
    sizes = draw(st.one_of(st.integers(1, 3), per_axis))
    strides = draw(st.one_of(st.none(), st.integers(1, 3), per_axis))
    padding = draw(st.sampled_from(["valid", "same"]))
    lengths = [draw(st.integers(4, 9)) for _ in range(axes)]
    shape = (draw(st.integers(1, 3)), *lengths, draw(st.integers(1, 5)))
    seed = draw(st.integers(0, 999))
    special = draw(st.lists(VALUES, max_size=8))
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    values.flat[: len(special)] = special
    return values, sizes, strides, padding


@given(poolings())
def test_any_pooling_gives_what_keras_gives(pooling):
    values, sizes, strides, padding = pooling
    tensor = torch.from_numpy(values)
    wanted = keras.ops.max_pool(tensor, sizes, strides, padding, "channels_last")
    np.testing.assert_array_equal(max_pool(tensor, sizes, strides, padding), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_it_keeps_the_dtype(dtype):
    values = torch.randn(2, 6, 6, 3).to(dtype)
    found = max_pool(values, 2, None, "valid")
    assert found.dtype == dtype
    assert torch.equal(found, keras.ops.max_pool(values, 2, None, "valid", "channels_last"))


def test_what_is_left_to_pytorch():
    few, many = torch.randn(2, 6, 6, FEW_CHANNELS), torch.randn(2, 6, 6, FEW_CHANNELS + 1)
    with torch.inference_mode():
        assert is_slow(few, "channels_last")
        assert not is_slow(many, "channels_last")
        assert not is_slow(few, "channels_first")
        assert not is_slow(few.int(), "channels_last")
        assert not is_slow(few.to("meta"), "channels_last")
        assert not is_slow(few.numpy(), "channels_last")
    assert not is_slow(few, "channels_last")  # gradients may be wanted


@pytest.mark.parametrize("channels", [6, 32])
def test_a_recording_takes_it_where_it_is_faster_and_keras_is_as_before(
    tmp_path, monkeypatch, channels
):
    calls = []

    def noted(*words):
        calls.append(words)
        return max_pool(*words)

    monkeypatch.setattr(torch_operations, "max_pool", noted)
    before = keras.src.backend.nn.max_pool
    layer = keras.layers.MaxPooling2D(3, strides=2, padding="same")
    model = keras.Sequential([keras.Input((9, 8, channels)), layer])
    data = np.random.default_rng(0).normal(size=(7, 9, 8, channels)).astype(np.float32)
    with actscope.extract(model, data, tmp_path / "run.h5", batch_size=4) as recording:
        np.testing.assert_array_equal(recording[layer.name][:], model.predict(data, verbose=0))
    assert bool(calls) == (channels == 6)
    assert keras.src.backend.nn.max_pool is before


def test_gradients_go_to_the_first_of_equal_values(tmp_path):
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.ReLU(name="same"), keras.layers.MaxPooling2D(2)]
    )
    data = np.ones((1, 4, 4, 1), np.float32)
    with actscope.extract(
        model, data, tmp_path / "run.h5", layers="same", gradients=lambda y: y.sum()
    ) as recording:
        gradient = recording["same"].gradient[:][0, :, :, 0]
    assert sorted(np.unique(gradient)) == [0, 1]
