"""What every adapter must do, as a test class that adapters subclass. Needs pytest.

A subclass gives the adapter and a small model, and inherits the tests:

    class TestMyAdapter(AdapterContract):
        adapter = MyAdapter()

        def model(self): ...
        def failing_model(self): ...
        def reference(self, model, inputs): ...
"""

import threading
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actscope.errors import ActscopeError, ModelError
from actscope.extraction import feed_for, prepare, record_run
from actscope.feed import pad
from actscope.planning import plan_wanted
from actscope.protocol import Adapter, Array, Inputs, LayerInfo, Objective, Trace
from actscope.reducing import reduce
from actscope.reduction import fits, parse
from actscope.request import Request
from actscope.selection import select
from actscope.store.reader import Recording, open_recording
from actscope.store.writer import Writer


class AdapterContract:
    """The tests of one adapter.

    Attributes:
        adapter: the adapter under test.
        input_shape: shape of one sample of the model's one input, which is float32.
        has_gradients: whether the framework can differentiate.
        tolerance: how far the adapter's float32 results may be from the reference, relative to
            each layer's largest value.
    """

    adapter: Adapter
    input_shape: tuple[int, ...] = (6,)
    has_gradients: bool = True
    tolerance: float = 1e-5

    @abstractmethod
    def model(self) -> Any:
        """A new model of at least two layers, with the same weights every time.

        Its last layer, in the order of execution, gives the model's output of shape `(N, C)` with
        C of at least 2.
        """

    @abstractmethod
    def failing_model(self) -> Any:
        """A model that raises an exception when it runs."""

    @abstractmethod
    def reference(self, model: Any, inputs: Array) -> dict[str, Array]:
        """What each layer of the model computes, by path, found without the adapter."""

    def data(self, samples: int = 11) -> Array:
        """Inputs `(samples, *input_shape)`, float32."""
        random = np.random.default_rng(5)
        return random.normal(size=(samples, *self.input_shape)).astype(np.float32)

    def trace(self, model: Any) -> Trace:
        """The model traced on the data."""
        return self.adapter.trace(model, Inputs((self.data()[:3],)))

    def record(self, model: Any, path: Path, **words: Any) -> Recording:
        """A finished recording of the model over the data; `words` are those of `Request`."""
        feed = feed_for(self.adapter, model, self.data())
        run = prepare(self.adapter, model, feed, Request(**{"layers": "all", **words}))
        with Writer(path, run.plan) as writer:
            record_run(run, feed, writer, lambda _: None)
        return open_recording(path)

    def assert_close(self, actual: Array, expected: Array) -> None:
        """Equal to rounding."""
        scale = float(np.abs(expected).max()) or 1.0
        np.testing.assert_allclose(actual, expected, rtol=0, atol=self.tolerance * scale)

    def test_it_knows_its_models_and_no_others(self) -> None:
        """A foreign object is refused without an error."""
        assert self.adapter.accepts(self.model())
        assert not self.adapter.accepts(object())
        assert not self.adapter.accepts("model")

    def test_it_is_named(self) -> None:
        """The name is a plain word."""
        assert self.adapter.name.isidentifier()

    def test_layers_are_listed_with_unique_paths_in_the_order_of_execution(self) -> None:
        """Orders rise, paths differ, and every layer says what it returns or why not."""
        layers = self.trace(self.model()).layers
        paths = [layer.path for layer in layers]
        assert len(set(paths)) == len(paths)
        orders = [layer.outputs[0].order for layer in layers if layer.outputs]
        assert orders == sorted(orders)
        assert all(layer.outputs or layer.note for layer in layers)

    def test_descriptions_are_whole(self) -> None:
        """Every output has its layer's path and a name for each axis."""
        for layer in self.trace(self.model()).layers:
            for output in layer.outputs:
                assert output.path == layer.path
                assert len(output.axes) == len(output.shape)
                assert len(set(output.axes)) == len(output.axes)
                assert output.reduction == "none"
                assert not output.is_gradient

    def test_names_are_the_same_for_two_models_alike(self) -> None:
        """Nothing in the layers' descriptions changes from run to run."""
        first, second = (self.trace(self.model()).layers for _ in range(2))
        assert [layer.path for layer in first] == [layer.path for layer in second]

    @pytest.mark.parametrize("batch_size", [1, 4, 11, 32])
    def test_rows_equal_the_reference(self, tmp_path: Path, batch_size: int) -> None:
        """Whatever the batch size, and where the last batch has to be padded."""
        model = self.model()
        recording = self.record(model, tmp_path / "run.h5", batch_size=batch_size)
        expected = self.reference(model, self.data())
        assert set(expected) <= set(recording)
        for path, array in expected.items():
            assert recording[path].shape == array.shape
            self.assert_close(recording[path][:], array)

    def test_outputs_come_in_the_order_asked_for(self) -> None:
        """And not in the model's, or by name."""
        model = self.model()
        trace = self.trace(model)
        wanted = plan_wanted(select(trace.layers, "all"))[::-1]
        step = trace.compile(wanted, 4)
        fetched = step.fetch(step.launch(step.stage(pad([self.data(4)], 4))))
        assert len(fetched.outputs) == len(wanted)
        expected = self.reference(model, self.data(4))
        for tensor, array in zip(wanted, fetched.outputs, strict=True):
            assert array.shape == (4, *tensor.stored.shape)
            assert array.flags.c_contiguous
            if tensor.source.path in expected:
                self.assert_close(array, expected[tensor.source.path])

    def test_a_launched_batch_is_not_changed_by_the_next(self) -> None:
        """Two batches can be under way at once."""
        model = self.model()
        trace = self.trace(model)
        step = trace.compile(plan_wanted(select(trace.layers, "all")), 4)
        data = self.data(8)
        first, second = (step.launch(step.stage([part])) for part in (data[:4], data[4:]))
        for launched, rows in ((first, slice(0, 4)), (second, slice(4, 8))):
            alone = step.fetch(step.launch(step.stage([data[rows]]))).outputs
            for together, array in zip(step.fetch(launched).outputs, alone, strict=True):
                np.testing.assert_array_equal(together, array)

    @pytest.mark.parametrize("text", ["mean", "max", "std", "l2", "flatten", "project:3:1"])
    def test_reductions_equal_those_of_the_stored_whole(self, tmp_path: Path, text: str) -> None:
        """The device computes what NumPy computes."""
        model = self.model()
        whole = self.record(model, tmp_path / "whole.h5")
        layers = self._fitting(model, text)
        if not layers:
            pytest.skip(f"no layer of this model fits {text!r}")
        words: dict[str, Any] = {"layers": layers, "reduce": text}
        reduced = self.record(model, tmp_path / "reduced.h5", **words)
        for path in layers:
            assert reduced[path].reduction == text
            self.assert_close(reduced[path][:], np.asarray(reduce(whole[path], text)))

    def _fitting(self, model: Any, text: str) -> list[str]:
        return [
            layer.path
            for layer in select(self.trace(model).layers, "all")
            if all(fits(output, parse(text)) for output in layer.outputs)
        ]

    def test_casting_happens_before_the_host(self, tmp_path: Path) -> None:
        """And equals the whole to half precision."""
        model = self.model()
        whole = self.record(model, tmp_path / "whole.h5")
        half = self.record(model, tmp_path / "half.h5", dtype="float16")
        for path in whole:
            if whole[path].logical_dtype == "float32":
                assert half[path].logical_dtype == "float16"
                np.testing.assert_allclose(half[path][:], whole[path][:], rtol=2e-3, atol=1e-4)

    def test_the_model_is_left_as_it_was(self, tmp_path: Path) -> None:
        """The same weights, and the same results afterwards."""
        model = self.model()
        before = self.adapter.provenance(model).weights_sha256
        expected = self.reference(model, self.data())
        self.record(model, tmp_path / "run.h5")
        assert self.adapter.provenance(model).weights_sha256 == before
        for path, array in self.reference(model, self.data()).items():
            np.testing.assert_array_equal(array, expected[path])

    def test_provenance_tells_models_apart(self) -> None:
        """Everything that identifies a run is there."""
        provenance = self.adapter.provenance(self.model())
        assert provenance == self.adapter.provenance(self.model())
        assert provenance.framework
        assert provenance.backend
        assert provenance.device
        assert len(provenance.weights_sha256) == 64

    def test_wrong_models_are_refused_and_leave_nothing(self, tmp_path: Path) -> None:
        """A model's own exception becomes one of ours, with its text."""
        with pytest.raises(ModelError):
            self.record(self.failing_model(), tmp_path / "run.h5")
        assert list(tmp_path.iterdir()) == []

    def test_loading_nothing_is_an_error_of_ours(self, tmp_path: Path) -> None:
        """And not one of the framework's."""
        missing = str(tmp_path / "no-such-model.bin")
        with pytest.raises(ActscopeError):
            self.adapter.load(missing, backend=None, structure_only=False)

    def test_another_thread_is_not_captured(self, tmp_path: Path) -> None:
        """The same framework, the same model, at the same time."""
        model, other = self.model(), self.model()
        expected = self.reference(model, self.data())
        stop = threading.Event()

        def meanwhile() -> None:
            while not stop.is_set():
                self.reference(other, self.data()[::-1])

        thread = threading.Thread(target=meanwhile)
        thread.start()
        try:
            recording = self.record(model, tmp_path / "run.h5", batch_size=2)
        finally:
            stop.set()
            thread.join()
        for path, array in expected.items():
            assert len(recording[path].outputs) == 1
            self.assert_close(recording[path][:], array)

    def test_gradients_equal_finite_differences(self, tmp_path: Path) -> None:
        """With respect to the model's input, of a function of its output."""
        if not self.has_gradients:
            pytest.skip("the framework has no gradients")
        model = self.model()
        names = [layer.path for layer in self.trace(model).layers if layer.is_boundary]
        path = names[0]
        words: dict[str, Any] = {"layers": path, "gradients": _first_two, "batch_size": 4}
        recording = self.record(model, tmp_path / "run.h5", **words)
        gradient = recording[path].gradient
        assert gradient is not None
        expected = self._differences(model)
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(gradient[:], expected, rtol=0, atol=0.02 * scale)

    def _differences(self, model: Any) -> Array:
        data, step = self.data(), np.float32(1e-2)
        last = self._last(self.trace(model).layers)
        result = np.zeros(data.shape, np.float64)
        for position in np.ndindex(*self.input_shape):
            moved = [data.copy(), data.copy()]
            for sign, array in zip((1, -1), moved, strict=True):
                array[(slice(None), *position)] += sign * step
            up, down = (_first_two(self.reference(model, array)[last]) for array in moved)
            result[(slice(None), *position)] = (np.float64(up) - down) / (2 * step)
        return result

    def _last(self, layers: Any) -> str:
        def order(layer: LayerInfo) -> int:
            return layer.outputs[0].order if layer.outputs and not layer.is_boundary else -1

        return str(max(layers, key=order).path)

    def test_gradients_do_not_depend_on_the_batch(self, tmp_path: Path) -> None:
        """Each row is the gradient of its own sample's number."""
        if not self.has_gradients:
            pytest.skip("the framework has no gradients")
        model = self.model()
        gradients: dict[str, Any] = {"gradients": "predicted"}
        small = self.record(model, tmp_path / "small.h5", batch_size=2, **gradients)
        large = self.record(model, tmp_path / "large.h5", batch_size=11, **gradients)
        for path in small:
            first, second = small[path].gradient, large[path].gradient
            if first is not None and second is not None:
                assert first.shape == small[path].shape
                self.assert_close(first[:], second[:])

    def test_an_impossible_objective_is_refused(self) -> None:
        """Here a class that the model does not have."""
        if not self.has_gradients:
            pytest.skip("the framework has no gradients")
        trace = self.trace(self.model())
        wanted = plan_wanted(select(trace.layers, "all"), gradients=True)
        classes = Inputs((np.full(11, 10**6, np.int32),))
        with pytest.raises(ActscopeError):
            trace.compile(wanted, 4, Objective("class", targets=classes))


def _first_two(outputs: Any) -> Any:
    """A number per sample that depends on the outputs in a way that is not linear."""
    return outputs[:, 0] * outputs[:, 1]
