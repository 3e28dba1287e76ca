"""A pass with PyTorch lets go of tensors after their last use, and of none before."""

import gc
import weakref

import keras
import numpy as np
import pytest

import actscope

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="eager passes only")

_alive: list[list[int]] = []
_seen: list[weakref.ref] = []


@keras.saving.register_keras_serializable("letting_go")
class Watching(keras.layers.Layer):
    """Adds one, and notes which of the results of such layers before it are still there."""

    def call(self, inputs):
        gc.collect()  # Keras leaves cycles behind where a layer takes several tensors
        _alive.append([number for number, one in enumerate(_seen) if one() is not None])
        result = inputs + 1
        _seen.append(weakref.ref(result))
        return result


@pytest.fixture(autouse=True)
def forget():
    _alive.clear()
    _seen.clear()


def chain_with_a_skip():
    """Layers one after another, of which the second's result is used again by the fifth."""
    inputs = keras.Input((4,))
    first = Watching(name="first")(inputs)
    second = Watching(name="second")(first)
    third = Watching(name="third")(second)
    fourth = Watching(name="fourth")(third)
    fifth = Watching(name="fifth")(keras.layers.Add(name="sum")([fourth, second]))
    squared = keras.layers.Multiply(name="squared")([fifth, fifth])
    return keras.Model(inputs, [Watching(name="last")(squared), third])


def test_lets_go_after_the_last_use_and_not_before(tmp_path):
    model = chain_with_a_skip()
    data = np.arange(8, dtype=np.float32).reshape(2, 4)
    actscope.extract(model, data, tmp_path / "r.h5", layers="last").close()
    # The last of the passes. Results: first, second, third, fourth, fifth, last.
    before = len(_seen) - 6
    passed = [[number - before for number in one] for one in _alive[-6:]]
    assert [[number for number in one if number >= 0] for one in passed] == [
        [],
        [0],  # what it is given itself
        [1],
        [1, 2],  # the second is needed by the sum, the third is returned
        [2],
        [2],
    ]


def test_the_values_are_those_of_the_model(tmp_path):
    model = chain_with_a_skip()
    outer = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), model])
    data = np.random.default_rng(0).random((5, 4), np.float32)
    expected = outer.predict(data, verbose=0)
    with actscope.extract(outer, data, tmp_path / "r.h5", layers="all") as recording:
        paths = [path for path in recording if path.endswith(("last", "third"))]
        found = {path.split("/")[-1]: recording[path][:] for path in paths}
    np.testing.assert_allclose(found["last"], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found["third"], expected[1], rtol=1e-6)


def test_nothing_is_let_go_of_elsewhere():
    model = chain_with_a_skip()
    model(np.zeros((1, 4), np.float32))
    everything_before = list(range(len(_seen) - 6, len(_seen) - 1))
    assert [number for number in _alive[-1] if number >= len(_seen) - 6] == everything_before
