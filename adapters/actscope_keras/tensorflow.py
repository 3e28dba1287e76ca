"""TensorFlow: the step is one concrete function, pruned to what the wanted tensors need."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from actscope.protocol import Array
from actscope_keras.capture import Capture, OutputKey
from actscope_keras.forward import ForwardPass, in_order, in_own_dtype, is_own_dtype


class TensorFlowBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """Builds the graph and drops it: nothing is computed."""
        captures: list[Capture] = []

        def run(*tensors: Any) -> list[Any]:
            captures.append(_run(forward, tensors, None))
            return []

        _concrete(run, arrays)
        return captures[0]

    def compile(
        self, forward: ForwardPass, wanted: Sequence[OutputKey], arrays: Sequence[Array]
    ) -> "TensorFlowStep":
        """Builds the graph for the arrays' shapes; TensorFlow prunes it when it runs."""

        def run(*tensors: Any) -> list[Any]:
            return in_order(_run(forward, tensors, wanted), wanted)

        return TensorFlowStep(_concrete(run, arrays))

    def device(self) -> str:
        """The name of the first GPU, or `"cpu"`."""
        devices = tf.config.list_physical_devices("GPU")
        if not devices:
            return "cpu"
        details = tf.config.experimental.get_device_details(devices[0])
        return str(details.get("device_name", devices[0].name))


def _concrete(run: Any, arrays: Sequence[Array]) -> Any:
    signature = [tf.TensorSpec(array.shape, array.dtype) for array in arrays]
    return tf.function(run, input_signature=signature, autograph=False).get_concrete_function()


def _run(
    forward: ForwardPass, tensors: Sequence[Any], wanted: Sequence[OutputKey] | None
) -> Capture:
    outermost = tf.compat.v1.get_default_graph()

    def is_reachable(tensor: Any) -> bool:
        return getattr(tensor, "graph", None) is outermost

    return forward.run(tensors, is_reachable, wanted)


class TensorFlowStep:
    """A concrete function of one batch."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def launch(self, inputs: Sequence[Array]) -> Any:
        """Run the batch; on an accelerator this returns before it is done."""
        return self._function(*(tf.convert_to_tensor(array) for array in inputs))

    def fetch(self, launched: Any) -> list[Array]:
        """On the CPU these are the tensors' own buffers, not copies."""
        return [_to_host(output) for output in launched]


def _to_host(tensor: Any) -> Array:
    # A memoryview shares the buffer, where `numpy()` copies it.
    shares = is_own_dtype(np.dtype(tensor.dtype.as_numpy_dtype))
    return in_own_dtype(np.asarray(memoryview(tensor)) if shares else tensor.numpy())
