"""Batches under way do not get into each other's memory, whatever the device copies to and when."""

import time

import keras
import numpy as np
import pytest

import actscope
from actscope.store.writer import Writer

ROWS = 1500


def exact_model():
    """Each layer's values are those of NumPy to the last bit, on every device."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 2)),
            layers.Rescaling(2.0, offset=-64.0, name="twice"),
            layers.ReLU(name="positive"),
            layers.UpSampling2D(2, name="larger"),
            layers.Flatten(name="flat"),
        ]
    )


def numbered(rows):
    """Whole numbers that float16 holds as well, another set in every row."""
    values = np.random.default_rng(0).integers(0, 512, (rows, 32, 32, 2))
    return values.astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_row_is_its_own_while_writing_lags_behind(tmp_path, monkeypatch, dtype):
    append = Writer.append

    def slowly(self, batch):
        time.sleep(0.002 * (self.written % 3))
        append(self, batch)

    monkeypatch.setattr(Writer, "append", slowly)
    data = numbered(ROWS)
    with actscope.extract(
        exact_model(), data, tmp_path / "run.h5", layers="all", dtype=dtype, batch_size=32
    ) as recording:
        twice = data * 2 - 64
        positive = np.maximum(twice, 0)
        larger = positive.repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_array_equal(recording["twice"][:], twice.astype(dtype))
        np.testing.assert_array_equal(recording["positive"][:], positive.astype(dtype))
        np.testing.assert_array_equal(recording["larger"][:], larger.astype(dtype))
        np.testing.assert_array_equal(recording["flat"][:], larger.reshape(ROWS, -1).astype(dtype))
