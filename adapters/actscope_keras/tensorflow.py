"""TensorFlow: the step is one concrete function, pruned to what the wanted tensors need."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from actscope.protocol import Array, Fetched
from actscope_keras.capture import Capture, Captured
from actscope_keras.forward import BATCHES_AT_A_TIME, ForwardPass, Job, in_own_dtype, is_own_dtype
from actscope_keras.objective import share_of_loss
from actscope_keras.tensorflow_operations import are_slow, faster_in_this_graph


class TensorFlowBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """Builds the graph and drops it: nothing is computed."""
        captures: list[Capture] = []

        def run(tensors: Sequence[Any]) -> list[Any]:
            captures.append(forward.run(tensors, _reachable_here()))
            return []

        _concrete(run, _specs_of(arrays))
        return captures[0]

    def compile(self, job: Job, arrays: Sequence[Array]) -> "TensorFlowStep":
        """Builds the graph for the arrays' shapes; TensorFlow prunes it when it runs."""
        run = _pass if job.objective is None else _pass_with_gradients
        specs = _specs_of(arrays)
        make_exact = partial(_concrete, partial(run, job), specs)
        if job.objective is None and are_slow():
            return TensorFlowStep(_concrete(partial(_faster_pass, job), specs), make_exact)
        return TensorFlowStep(make_exact())

    def weight_gradients(self, model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
        """Eager, under a tape."""
        variables = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            loss = share_of_loss(model, inputs, targets, share)
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(loss, variables, unconnected_gradients=zero)
        return [tf.convert_to_tensor(gradient) for gradient in gradients]

    def value_of(self, variable: Any) -> Array:
        """On a CPU its own buffer."""
        return _to_host(tf.convert_to_tensor(variable.value))

    def peak_device_bytes(self, model: Any) -> int | None:  # noqa: ARG002 - all are on one device
        """As the runtime counts it, on the first GPU."""
        if not tf.config.list_logical_devices("GPU"):
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])

    def device(self) -> str:
        """The name of the first GPU, or `"cpu"`."""
        devices = tf.config.list_physical_devices("GPU")
        if not devices:
            return "cpu"
        details = tf.config.experimental.get_device_details(devices[0])
        return str(details.get("device_name", devices[0].name))


def _specs_of(arrays: Sequence[Array]) -> list[Any]:
    return [tf.TensorSpec(array.shape, array.dtype) for array in arrays]


def _concrete(run: Any, specs: Sequence[Any]) -> Any:
    def function(*tensors: Any) -> Any:
        return run(tensors)

    return tf.function(function, input_signature=specs, autograph=False).get_concrete_function()


def _reachable_here() -> Callable[[Any], bool]:
    """Tells whether a tensor belongs to the graph being built now, and not to one inside it."""
    outermost = tf.compat.v1.get_default_graph()
    return lambda tensor: getattr(tensor, "graph", None) is outermost


Results = tuple[list[Any], list[Any], list[Any]]
"""The outputs, the overflows, and scalars that all have to hold, or the outputs are not exact."""


def _pass(job: Job, tensors: Sequence[Any]) -> Results:
    inputs, _ = job.split(tensors)
    return *job.run(inputs, _reachable_here()), []


def _faster_pass(job: Job, tensors: Sequence[Any]) -> Results:
    with faster_in_this_graph() as built:
        outputs, overflows, _ = _pass(job, tensors)
        return outputs, overflows, built.conditions([*outputs, *overflows])


def _pass_with_gradients(job: Job, tensors: Sequence[Any]) -> Results:
    inputs, targets = job.split(tensors)
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def watch(captured: Captured) -> Any:
            # A tensor of its own, so that what a layer passes through is told from what it returns.
            watched = tf.identity(captured.tensor)
            tape.watch(watched)
            return watched

        capture, value = job.run_watched(inputs, targets, _reachable_here(), watch)
    watched = {captured.name: captured.tensor for captured in capture.tensors}
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(value, watched, unconnected_gradients=zero)
    return *job.finish(capture, inputs, gradients), []


class TensorFlowStep:
    """A concrete function of one batch.

    On the CPU a call returns when it is done, so that it is made in a thread: the next batch begins
    while this one ends, and no core waits for the operations that use few.
    """

    def __init__(self, function: Any, make_exact: Callable[[], Any] | None = None) -> None:
        """Take a function that returns `Results`, and what makes one that is always exact.

        That one is made when it is first needed, and takes the other's place from then on: where
        values of one batch are not finite, those of others hardly are.
        """
        self._function = function
        self._make_exact = make_exact
        on_accelerator = bool(tf.config.list_logical_devices("GPU"))
        self._threads = None if on_accelerator else ThreadPoolExecutor(BATCHES_AT_A_TIME)

    def stage(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """The arrays themselves."""
        return arrays

    def launch(self, staged: Sequence[Array]) -> Any:
        """Run the batch; this returns before it is done."""
        if self._threads is None:
            return staged, _call(self._function, staged)
        return staged, self._threads.submit(_call, self._function, staged)

    def fetch(self, launched: Any) -> Fetched:
        """On the CPU these are the tensors' own buffers, not copies."""
        staged, results = launched
        outputs, overflows, conditions = (
            results.result() if isinstance(results, Future) else results
        )
        if not all(map(bool, conditions)):
            if self._make_exact is not None:  # made in the caller's thread, which has settings
                self._function, self._make_exact = self._make_exact(), None
            outputs, overflows, _ = _call(self._function, staged)
        return Fetched(
            [_to_host(output) for output in outputs], [_to_host(count) for count in overflows]
        )


def _call(function: Any, arrays: Sequence[Array]) -> Results:
    results: Results = function(*(tf.convert_to_tensor(array) for array in arrays))
    return results


def _to_host(tensor: Any) -> Array:
    # A memoryview shares the buffer, where `numpy()` copies it.
    shares = is_own_dtype(np.dtype(tensor.dtype.as_numpy_dtype))
    return in_own_dtype(np.asarray(memoryview(tensor)) if shares else tensor.numpy())
