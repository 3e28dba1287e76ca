import numpy as np
import pytest

import actscope
from actscope.errors import ReductionError, UnknownLayerError


def test_a_layer_an_array_and_a_recording(example):
    recording = actscope.open(example.write())
    conv, tokens = example.arrays["conv2d"], example.arrays["tokens"]
    np.testing.assert_allclose(
        actscope.reduce(recording["conv2d"], "mean"), conv.mean((1, 2)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(actscope.reduce(conv, "max"), conv.max((1, 2)))
    found = actscope.reduce(recording, {"conv2d": "max", "tokens": ["token:-1", "flatten"]})
    assert list(found) == ["conv2d max", "block/dense none", "tokens token:-1", "tokens flatten"]
    np.testing.assert_array_equal(found["tokens token:-1"], tokens[:, -1])
    single = actscope.reduce(recording, "max")
    assert list(single) == list(recording)


def test_it_works_in_blocks(example, monkeypatch):
    monkeypatch.setattr("actscope.reducing.BYTES_AT_A_TIME", 1)
    recording = actscope.open(example.write(upto=7))
    result = actscope.reduce(recording["conv2d"], "max")
    np.testing.assert_array_equal(result, example.arrays["conv2d"][:7].max((1, 2)))


def test_wrong_input(example):
    recording = actscope.open(example.write())
    with pytest.raises(ReductionError, match=r"'block/dense'.*no spatial"):
        actscope.reduce(recording["block/dense"], "mean")
    with pytest.raises(ReductionError, match="one text"):
        actscope.reduce(recording["conv2d"], ["mean"])
    with pytest.raises(ReductionError, match="stored input"):
        actscope.reduce(recording["tokens"], "masked_mean:pad")
    with pytest.raises(ReductionError, match="sample axis"):
        actscope.reduce(np.float32(3), "mean")
    with pytest.raises(UnknownLayerError):
        actscope.reduce(recording, {"nothing": "mean"})
