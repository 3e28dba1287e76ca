"""JAX: the step is compiled ahead of time, runs asynchronously, and takes the weights as inputs."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras.src.backend import is_float_dtype

from actscope.protocol import Array, Step
from actscope_keras.capture import Capture, Captured
from actscope_keras.forward import ForwardPass, Job, in_own_dtype
from actscope_keras.jax_accelerator import AcceleratorStep
from actscope_keras.jax_cpu import CpuStep, lent_outputs
from actscope_keras.objective import share_of_loss

try:
    from jax.extend.core import get_opaque_trace_state
except ImportError:  # it became public in jax 0.10
    from jax._src.core import get_opaque_trace_state


class JaxBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """An abstract evaluation: nothing is computed or compiled."""
        captures: list[Capture] = []

        def run(values: list[Any], tensors: list[Any]) -> tuple[()]:
            state = _state(forward, values)
            captures.append(forward.run(tensors, _reachable_here(), state=state))
            return ()

        jax.eval_shape(run, _values(forward), list(arrays))
        return captures[0]

    def compile(self, job: Job, arrays: Sequence[Array]) -> Step:
        """Compiles for the arrays' shapes; XLA drops what the wanted tensors do not need."""
        run = partial(_pass if job.objective is None else _pass_with_gradients, job)
        values = partial(_values, job.forward)
        if jax.default_backend() != "cpu":
            return AcceleratorStep(run, values, arrays)
        if not _on_one_device(job.forward):
            return CpuStep(run, values, arrays, {}, on_several_devices=True)
        return CpuStep(run, values, arrays, lent_outputs(job.wanted, len(arrays[0])))

    def weight_gradients(self, model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
        """Differentiates with respect to the values that stand in for the variables."""

        def loss(trained: list[Any]) -> Any:
            state = list(zip(model.trainable_variables, trained, strict=True))
            with keras.StatelessScope(state_mapping=state):
                return share_of_loss(model, inputs, targets, share)

        gradients: list[Any] = jax.grad(loss)([v.value for v in model.trainable_variables])
        return gradients

    def value_of(self, variable: Any) -> Array:
        """On a CPU its own buffer."""
        return in_own_dtype(np.asarray(variable.value))

    def peak_device_bytes(self, model: Any) -> int | None:  # noqa: ARG002 - all are on one device
        """As the runtime counts it; 0 where it does not."""
        if jax.default_backend() == "cpu":
            return None
        statistics = jax.devices()[0].memory_stats() or {}
        return int(statistics.get("peak_bytes_in_use", 0))

    def device(self) -> str:
        """The kind of the first device."""
        return str(jax.devices()[0].device_kind)


def _values(forward: ForwardPass) -> list[Any]:
    return [variable.value for variable in forward.model.variables]


def _on_one_device(forward: ForwardPass) -> bool:
    """Whether the weights are on one device, or, where there are none, the inputs will be."""
    devices = set().union(*(value.devices() for value in _values(forward))) or jax.devices()[:1]
    return len(devices) == 1


def _state(forward: ForwardPass, values: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(forward.model.variables, values, strict=True))


def _reachable_here() -> Any:
    """Tells whether a tensor belongs to the trace under way now, and not to one inside it."""
    outermost = get_opaque_trace_state(convention="nnx")
    return lambda _: bool(get_opaque_trace_state(convention="nnx") == outermost)


def _pass(job: Job, values: list[Any], arrays: list[Any]) -> tuple[list[Any], list[Any]]:
    inputs, _ = job.split(arrays)
    return job.run(inputs, _reachable_here(), _state(job.forward, values))


def _pass_with_gradients(
    job: Job, values: list[Any], arrays: list[Any]
) -> tuple[list[Any], list[Any]]:
    """Adds zeros to every watched tensor, and differentiates with respect to these."""
    inputs, targets = job.split(arrays)
    kept: list[Capture] = []

    def objective(zeros: dict[Any, Any]) -> tuple[Any, list[tuple[Any, Any]]]:
        def watch(captured: Captured) -> Any:
            return captured.tensor + zeros[captured.name]

        capture, value = job.run_watched(
            inputs, targets, _reachable_here(), watch, _state(job.forward, values)
        )
        kept.append(capture)
        return value, [(captured.tensor, captured.mask) for captured in capture.tensors]

    gradients, tensors = jax.grad(objective, has_aux=True)(_zeros(job, len(inputs[0])))
    return job.finish(kept[-1].holding(tensors), inputs, gradients)


def _zeros(job: Job, rows: int) -> dict[Any, Any]:
    sources = [tensor.source for tensor in job.wanted if is_float_dtype(tensor.source.dtype)]
    return {
        (source.path, source.call, source.index): jnp.zeros((rows, *source.shape), source.dtype)
        for source in sources
    }
