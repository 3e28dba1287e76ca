"""PyTorch: the step runs eagerly, and ends after the last wanted layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from actscope.protocol import Array
from actscope_keras.capture import Capture, OutputKey
from actscope_keras.forward import ForwardPass, in_order


class TorchBackend:
    """See `forward.Backend`."""

    def trace(self, forward: ForwardPass, arrays: Sequence[Array]) -> Capture:
        """A real pass over the arrays, since nothing abstract covers every model."""
        device = _device_of(forward.model)
        with torch.inference_mode():
            return forward.run(_to_device(arrays, device), _is_reachable)

    def compile(
        self,
        forward: ForwardPass,
        wanted: Sequence[OutputKey],
        arrays: Sequence[Array],  # noqa: ARG002 - eager: any shape will do
    ) -> "TorchStep":
        """Nothing to compile: the step holds the model and what is wanted of it."""
        return TorchStep(forward, tuple(wanted))

    def device(self) -> str:
        """The first GPU's name, or `"cpu"`."""
        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def _device_of(model: Any) -> torch.device:
    if model.variables:
        return model.variables[0].value.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _to_device(arrays: Sequence[Array], device: torch.device) -> list[torch.Tensor]:
    # PyTorch has no read-only tensors, and warns of every array that is.
    own = (array if array.flags.writeable else array.copy() for array in arrays)
    return [torch.from_numpy(array).to(device) for array in own]


def _is_reachable(tensor: Any) -> bool:
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


class TorchStep:
    """An eager pass over one batch."""

    def __init__(self, forward: ForwardPass, wanted: tuple[OutputKey, ...]) -> None:
        self._forward = forward
        self._wanted = wanted
        self._device = _device_of(forward.model)

    def launch(self, inputs: Sequence[Array]) -> list[torch.Tensor]:
        """Run the batch; on an accelerator this returns before it is done."""
        with torch.inference_mode():
            tensors = _to_device(inputs, self._device)
            capture = self._forward.run(tensors, _is_reachable, self._wanted)
            # Convolutions return channels-last views: put in order where that is fast.
            return [tensor.contiguous() for tensor in in_order(capture, self._wanted)]

    def fetch(self, launched: list[torch.Tensor]) -> list[Array]:
        """On the CPU these are the tensors' own buffers, not copies."""
        return [_to_host(tensor) for tensor in launched]


def _to_host(tensor: torch.Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    elif tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        tensor = tensor.view(torch.uint8)
    array: Array = tensor.cpu().numpy()
    return array.view(np.uint16) if tensor.dtype == torch.int16 else array
