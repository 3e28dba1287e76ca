"""The step for accelerators, run on whatever device there is."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "jax":
    pytest.skip("for JAX alone", allow_module_level=True)

from actscope_keras import jax_accelerator
from actscope_keras.jax_accelerator import AcceleratorStep


def step_for(arrays):
    """A step that returns each array doubled, and the first row sums."""

    def run(values, given):
        (factor,) = values
        return [array * factor for array in given], [given[0].sum(axis=1)]

    return AcceleratorStep(run, lambda: [np.float32(2)], arrays)


@pytest.mark.parametrize("piece", [1, 40, 2**23])
@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_a_batch_sent_in_pieces_is_the_batch(monkeypatch, rows, piece):
    monkeypatch.setattr(jax_accelerator, "PIECE", piece)
    random = np.random.default_rng(rows)
    batches = [
        [random.random((rows, 5), np.float32), random.integers(0, 9, (rows, 2, 3), np.int32)]
        for _ in range(3)
    ]
    step = step_for(batches[0])
    launched = [step.launch(step.stage(batch)) for batch in batches]
    for (first, second), one in zip(batches, launched, strict=True):
        fetched = step.fetch(one)
        np.testing.assert_array_equal(fetched.outputs[0], first * 2)
        np.testing.assert_array_equal(fetched.outputs[1], second * 2)
        np.testing.assert_allclose(fetched.overflows[0], first.sum(axis=1), rtol=1e-6)


def test_large_arrays_are_sent_in_several_pieces_and_small_ones_whole():
    def pieces(rows, columns):
        return jax_accelerator._in_pieces([np.zeros((rows, columns), np.float32)])[0]

    assert [len(piece) for piece in pieces(8, 16)] == [8]
    assert len(pieces(256, 150_528)) == jax_accelerator.PIECES
    assert [len(piece) for piece in pieces(2, 2**26)] == [1, 1]
