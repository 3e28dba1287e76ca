"""PyTorch on a GPU: copies in both directions beside what it computes.

Each direction has a stream of its own, and host memory that the GPU reads and writes by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from actscope.protocol import Array, Fetched
from actscope_keras.pinned import PinnedMemory

Outputs = tuple[list[torch.Tensor], list[torch.Tensor]]
"""What a pass returns: the outputs, and the counts of overflows beside them."""

Run = Callable[[Sequence[torch.Tensor]], Outputs]
"""A pass over one batch, on the device where its inputs are."""


@dataclass(frozen=True)
class Staged:
    """A batch on its way to the GPU: its tensors, and when they have arrived."""

    tensors: list[torch.Tensor]
    arrived: torch.cuda.Event


@dataclass(frozen=True)
class Launched:
    """What a pass returns, on its way to the host.

    Attributes:
        outputs: the outputs, in the host's memory.
        overflows: the counts beside them.
        arrived: when they are there.
        in_use: what must stay on the GPU until then.
    """

    outputs: list[torch.Tensor]
    overflows: list[torch.Tensor]
    arrived: torch.cuda.Event
    in_use: tuple[torch.Tensor, ...]


class GpuStep:
    """An eager pass over one batch; launching it returns before it is done."""

    def __init__(self, run: Run, device: torch.device) -> None:
        """Args: the pass, and the model's device."""
        self._run = run
        self._device = device
        self._up = torch.cuda.Stream(device)
        self._down = torch.cuda.Stream(device)
        self._memory = PinnedMemory()

    def stage(self, arrays: Sequence[Array]) -> Staged:
        """Send a batch on its way."""
        own = [tensor.pin_memory() for tensor in tensors_of(arrays)]
        with torch.cuda.stream(self._up):
            tensors = [tensor.to(self._device, non_blocking=True) for tensor in own]
            return Staged(tensors, self._up.record_event())

    def launch(self, staged: Staged) -> Launched:
        """Have the batch computed once it is there, and copied to the host after that."""
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(staged.arrived)
        outputs, overflows = self._run(staged.tensors)
        self._down.wait_stream(computing)
        with torch.cuda.stream(self._down):
            copies = [self._copy(tensor) for tensor in outputs]
            counts = [self._copy(tensor) for tensor in overflows]
            arrived = self._down.record_event()
        return Launched(copies, counts, arrived, (*staged.tensors, *outputs, *overflows))

    def fetch(self, launched: Launched) -> Fetched:
        """The memory that the GPU wrote to, not copies."""
        launched.arrived.synchronize()
        return Fetched(
            [to_host(output) for output in launched.outputs],
            [to_host(count) for count in launched.overflows],
        )

    def _copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy on the host, which is made some time after this returns."""
        return self._memory.tensor(tensor.shape, tensor.dtype).copy_(tensor, non_blocking=True)


def tensors_of(arrays: Sequence[Array]) -> list[torch.Tensor]:
    """The arrays as tensors on the CPU."""
    # PyTorch has no read-only tensors, and warns of every array that is.
    own = (array if array.flags.writeable else array.copy() for array in arrays)
    return [torch.from_numpy(array) for array in own]


def to_host(tensor: torch.Tensor) -> Array:
    """A tensor as an array; a dtype that NumPy lacks as unsigned integers of its bytes."""
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    elif tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        tensor = tensor.view(torch.uint8)
    array: Array = tensor.cpu().numpy()
    return array.view(np.uint16) if tensor.dtype == torch.int16 else array
