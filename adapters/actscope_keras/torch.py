"""PyTorch: the step runs eagerly, and ends after the last wanted layer."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from actscope.protocol import Array, Fetched, Step
from actscope_keras.capture import Capture, Captured
from actscope_keras.forward import ForwardPass, Job
from actscope_keras.objective import share_of_loss
from actscope_keras.torch_gpu import GpuStep
from actscope_keras.torch_side_by_side import TOO_LARGE, SideBySideStep
from actscope_keras.torch_tensors import Outputs, Pass, fetched, tensors_of, to_host
from actscope_keras.torch_threads import ThreadsOfPass


class TorchBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """A real pass over the arrays, since nothing abstract covers every model."""
        device = _device_of(forward.model)
        with torch.inference_mode():
            inputs = [tensor.to(device) for tensor in tensors_of(arrays)]
            return forward.run(inputs, _is_reachable)

    def compile(self, job: Job, arrays: Sequence[Array]) -> Step:
        """Nothing to compile: the step holds the model and what is wanted of it."""
        device = _device_of(job.forward.model)
        run = partial(_run, replace(job, at_hand=device.type == "cpu"))
        step = TorchStep(run, device)
        if job.objective is not None:
            step.launch(step.stage(arrays))  # shows now what is wrong with the objective
        if device.type == "cuda":
            return GpuStep(run, device)
        is_small = len(arrays[0]) * job.largest_layer < TOO_LARGE
        if device.type == "cpu" and job.objective is None and is_small:
            return SideBySideStep(run, job.forward.model, step)
        return step

    def weight_gradients(self, model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
        """Eager; the weights' own `grad` stays untouched."""
        values = [variable.value for variable in model.trainable_variables]
        with torch.enable_grad():
            return _gradients(share_of_loss(model, inputs, targets, share), values)

    def value_of(self, variable: Any) -> Array:
        """On a CPU its own buffer."""
        return to_host(variable.value.detach())

    def peak_device_bytes(self, model: Any) -> int | None:
        """As the allocator counts it."""
        device = _device_of(model)
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None

    def device(self) -> str:
        """The first GPU's name, or `"cpu"`."""
        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def _device_of(model: Any) -> torch.device:
    if model.variables:
        return model.variables[0].value.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _is_reachable(tensor: Any) -> bool:
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


class TorchStep:
    """An eager pass over one batch, on the device where the model is."""

    def __init__(self, run: Pass, device: torch.device) -> None:
        """Args: the pass, and the model's device."""
        self._run = run
        self._device = device
        self._threads = ThreadsOfPass()

    def stage(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """On the CPU these are the arrays' own buffers, not copies."""
        return [tensor.to(self._device) for tensor in tensors_of(arrays)]

    def launch(self, staged: list[torch.Tensor]) -> Outputs:
        """Run the batch."""
        with self._threads.set():
            return self._run(staged)

    def fetch(self, launched: Outputs) -> Fetched:
        """On the CPU these are the tensors' own buffers, not copies."""
        return fetched(*launched)


def _run(job: Job, tensors: Sequence[torch.Tensor]) -> Outputs:
    """The outputs, C-contiguous, and the counts of overflows beside them."""
    run = _pass if job.objective is None else _pass_with_gradients
    outputs, overflows = run(job, tensors)
    for place, output in enumerate(outputs):
        # Convolutions return channels-last views: put in order where that is fast.
        outputs[place] = output.detach().contiguous()
    return outputs, overflows


def _pass(job: Job, tensors: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    with torch.inference_mode():
        inputs, _ = job.split(tensors)
        return job.run(inputs, _is_reachable)


def _pass_with_gradients(job: Job, tensors: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    inputs, targets = job.split(tensors)
    with torch.enable_grad():
        capture, value = job.run_watched(inputs, targets, _is_reachable, _watch)
        watched = [captured for captured in capture.tensors if captured.tensor.requires_grad]
        gradients = _gradients(value, [captured.tensor for captured in watched])
    named = {captured.name: gradient for captured, gradient in zip(watched, gradients, strict=True)}
    with torch.no_grad():
        return job.finish(capture, inputs, named)


def _watch(captured: Captured) -> torch.Tensor:
    # A tensor of its own, so that what a layer passes through is told from what it returns.
    tensor = captured.tensor
    if tensor.requires_grad:
        return tensor.view_as(tensor)
    return tensor.detach().requires_grad_()


def _gradients(value: torch.Tensor, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Gradients of a scalar; zeros for tensors that it does not depend on."""
    if not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    return list(torch.autograd.grad(value, tensors, allow_unused=True, materialize_grads=True))
