"""The contract holds for an adapter that has nothing to do with Keras, and finds what is wrong."""

import numpy as np
import pytest

from actscope.testing import AdapterContract
from numpy_adapter import Chain, NumpyAdapter, NumpyStep


def chain():
    weights = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
    return Chain(
        {
            "dense": lambda values: values @ weights,
            "relu": lambda values: np.maximum(values, 0),
            "maps": lambda values: np.einsum("nc,yx->nyxc", values, np.arange(12).reshape(3, 4)),
            "out": lambda values: values.sum((1, 2)),
        },
        weights=[weights],
    )


def broken(_):
    raise RuntimeError("this function is broken")


class TestNumpyAdapter(AdapterContract):
    adapter = NumpyAdapter()
    has_gradients = False

    def model(self):
        return chain()

    def failing_model(self):
        return Chain({"broken": broken})

    def reference(self, model, inputs):
        return model.run(inputs)


class Forgetful(NumpyStep):
    """Returns what is wanted in the model's order and not in the one asked for."""

    def fetch(self, launched):
        fetched = super().fetch(launched)
        fetched.outputs.reverse()
        return fetched


def test_the_contract_finds_outputs_in_the_wrong_order(tmp_path, monkeypatch):
    monkeypatch.setattr("numpy_adapter.NumpyStep", Forgetful)
    contract = TestNumpyAdapter()
    with pytest.raises(AssertionError):
        contract.test_outputs_come_in_the_order_asked_for()
    with pytest.raises((AssertionError, ValueError)):
        contract.test_rows_equal_the_reference(tmp_path, 4)
