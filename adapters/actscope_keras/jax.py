"""JAX: the step is compiled ahead of time, runs asynchronously, and takes the weights as inputs."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from actscope.protocol import Array
from actscope_keras.capture import Capture, OutputKey
from actscope_keras.forward import ForwardPass, in_order, in_own_dtype


class JaxBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """An abstract evaluation: nothing is computed or compiled."""
        captures: list[Capture] = []

        def run(values: list[Any], tensors: list[Any]) -> tuple[()]:
            captures.append(_run(forward, values, tensors, None))
            return ()

        jax.eval_shape(run, _values(forward), list(arrays))
        return captures[0]

    def compile(
        self, forward: ForwardPass, wanted: Sequence[OutputKey], arrays: Sequence[Array]
    ) -> "JaxStep":
        """Compiles for the arrays' shapes; XLA drops what the wanted tensors do not need."""

        def run(values: list[Any], tensors: list[Any]) -> list[Any]:
            return in_order(_run(forward, values, tensors, wanted), wanted)

        values = _values(forward)
        return JaxStep(jax.jit(run).lower(values, list(arrays)).compile(), values)

    def device(self) -> str:
        """The kind of the first device."""
        return str(jax.devices()[0].device_kind)


def _values(forward: ForwardPass) -> list[Any]:
    # Read for every run: `fit` and `predict` donate the buffers they were given.
    return [variable.value for variable in forward.model.variables]


def _run(
    forward: ForwardPass,
    values: Sequence[Any],
    tensors: Sequence[Any],
    wanted: Sequence[OutputKey] | None,
) -> Capture:
    outermost = get_opaque_trace_state(convention="nnx")

    def is_reachable(_: Any) -> bool:
        return bool(get_opaque_trace_state(convention="nnx") == outermost)

    state = list(zip(forward.model.variables, values, strict=True))
    return forward.run(tensors, is_reachable, wanted, state)


class JaxStep:
    """A compiled step; launching it returns at once."""

    def __init__(self, compiled: Any, values: list[Any]) -> None:
        self._compiled = compiled
        self._values = values

    def launch(self, inputs: Sequence[Array]) -> Any:
        """Dispatch the batch, and start the copies to the host that follow it."""
        outputs = self._compiled(self._values, list(inputs))
        for output in outputs:
            output.copy_to_host_async()
        return outputs

    def fetch(self, launched: Any) -> list[Array]:
        """On the CPU these are the device's own buffers, not copies."""
        return [in_own_dtype(np.asarray(output)) for output in launched]
