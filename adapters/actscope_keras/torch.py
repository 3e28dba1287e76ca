"""PyTorch: the step runs eagerly, and ends after the last wanted layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from actscope.protocol import Array, Fetched
from actscope_keras.capture import Capture, Captured
from actscope_keras.forward import ForwardPass, Job
from actscope_keras.objective import share_of_loss


class TorchBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """A real pass over the arrays, since nothing abstract covers every model."""
        device = _device_of(forward.model)
        with torch.inference_mode():
            return forward.run(_to_device(arrays, device), _is_reachable)

    def compile(self, job: Job, arrays: Sequence[Array]) -> "TorchStep":
        """Nothing to compile: the step holds the model and what is wanted of it."""
        step = TorchStep(job)
        if job.objective is not None:
            step.launch(arrays)  # shows now what is wrong with the objective
        return step

    def weight_gradients(self, model: Any, inputs: Any, targets: Any, share: float) -> list[Any]:
        """Eager; the weights' own `grad` stays untouched."""
        values = [variable.value for variable in model.trainable_variables]
        with torch.enable_grad():
            return _gradients(share_of_loss(model, inputs, targets, share), values)

    def peak_device_bytes(self) -> int | None:
        """As the allocator counts it, on the first GPU."""
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None

    def device(self) -> str:
        """The first GPU's name, or `"cpu"`."""
        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def _device_of(model: Any) -> torch.device:
    if model.variables:
        return model.variables[0].value.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _to_device(arrays: Sequence[Array], device: torch.device) -> list[torch.Tensor]:
    return [tensor.to(device) for tensor in _tensors(arrays)]


def _tensors(arrays: Sequence[Array]) -> list[torch.Tensor]:
    # PyTorch has no read-only tensors, and warns of every array that is.
    own = (array if array.flags.writeable else array.copy() for array in arrays)
    return [torch.from_numpy(array) for array in own]


def _is_reachable(tensor: Any) -> bool:
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


class TorchStep:
    """An eager pass over one batch."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._device = _device_of(job.forward.model)
        self._copies = _Copies(self._device) if self._device.type == "cuda" else None

    def launch(self, arrays: Sequence[Array]) -> "_Launched":
        """Run the batch; on a GPU this returns before it is done."""
        if self._copies is None:
            return _Launched(*self._run(_to_device(arrays, self._device)))
        inputs = self._copies.to_device(arrays)
        return self._copies.to_host(*self._run(inputs), inputs)

    def _run(
        self, tensors: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        run = _pass if self._job.objective is None else _pass_with_gradients
        outputs, overflows = run(self._job, tensors)
        for place, output in enumerate(outputs):
            # Convolutions return channels-last views: put in order where that is fast.
            outputs[place] = output.detach().contiguous()
        return outputs, overflows

    def fetch(self, launched: "_Launched") -> Fetched:
        """On the CPU these are the tensors' own buffers, not copies."""
        if launched.copied is not None:
            launched.copied.synchronize()
        return Fetched(
            [_to_host(output) for output in launched.outputs],
            [_to_host(count) for count in launched.overflows],
        )


@dataclass(frozen=True)
class _Launched:
    """What a pass returns.

    Attributes:
        outputs: the outputs, on the CPU or on their way there.
        overflows: the counts beside them.
        copied: when they are there; None where they are.
        in_use: what must stay on the GPU until then.
    """

    outputs: list[torch.Tensor]
    overflows: list[torch.Tensor]
    copied: torch.cuda.Event | None = None
    in_use: tuple[torch.Tensor, ...] = ()


class _Copies:
    """Copies between the host and a GPU, beside what it computes.

    Each direction has a stream of its own, and host memory that the GPU reads and writes by itself;
    PyTorch keeps such memory for the next batch once nobody holds its tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._up = torch.cuda.Stream(device)
        self._down = torch.cuda.Stream(device)

    def to_device(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """The arrays on the GPU, there before anything is computed of them."""
        own = [tensor.pin_memory() for tensor in _tensors(arrays)]
        with torch.cuda.stream(self._up):
            tensors = [tensor.to(self._device, non_blocking=True) for tensor in own]
        torch.cuda.current_stream(self._device).wait_stream(self._up)
        return tensors

    def to_host(
        self,
        outputs: Sequence[torch.Tensor],
        overflows: Sequence[torch.Tensor],
        inputs: Sequence[torch.Tensor],
    ) -> _Launched:
        """The outputs on their way to the host, copied once they are computed."""
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._down):
            copies = [_copy(tensor) for tensor in outputs]
            counts = [_copy(tensor) for tensor in overflows]
            copied = torch.cuda.Event()
            copied.record(self._down)
        return _Launched(copies, counts, copied, (*inputs, *outputs, *overflows))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in host memory that the GPU writes to by itself, some time after this returns."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return copy.copy_(tensor, non_blocking=True)


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


def _to_host(tensor: torch.Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    elif tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        tensor = tensor.view(torch.uint8)
    array: Array = tensor.cpu().numpy()
    return array.view(np.uint16) if tensor.dtype == torch.int16 else array
