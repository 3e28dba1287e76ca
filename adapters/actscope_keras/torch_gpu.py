"""PyTorch on a GPU: copies in both directions beside what it computes.

Each direction has a stream of its own, and host memory that the GPU reads and writes by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from actscope.protocol import Array, Fetched
from actscope_keras.pinned import PinnedMemory
from actscope_keras.torch_tensors import Pass, fetched, tensors_of


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

    def __init__(self, run: Pass, device: torch.device) -> None:
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
        return fetched(launched.outputs, launched.overflows)

    def _copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy on the host, which is made some time after this returns."""
        return self._memory.tensor(tensor.shape, tensor.dtype).copy_(tensor, non_blocking=True)
