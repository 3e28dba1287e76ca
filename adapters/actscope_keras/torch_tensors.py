"""PyTorch's tensors made of NumPy's arrays and back, without copies where both are on the CPU."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from actscope.protocol import Array, Fetched

Outputs = tuple[list[torch.Tensor], list[torch.Tensor]]
"""What a pass returns: the outputs, and the counts of overflows beside them."""

Pass = Callable[[Sequence[torch.Tensor]], Outputs]
"""A pass over one batch, on the device where its inputs are."""


def tensors_of(arrays: Sequence[Array]) -> list[torch.Tensor]:
    """The arrays as tensors on the CPU."""
    # PyTorch has no read-only tensors, and warns of every array that is.
    own = (array if array.flags.writeable else array.copy() for array in arrays)
    return [torch.from_numpy(array) for array in own]


def fetched(outputs: Sequence[torch.Tensor], overflows: Sequence[torch.Tensor]) -> Fetched:
    """What a pass returned, as arrays."""
    return Fetched([to_host(output) for output in outputs], [to_host(count) for count in overflows])


def to_host(tensor: torch.Tensor) -> Array:
    """A tensor as an array; a dtype that NumPy lacks as unsigned integers of its bytes."""
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.int16).cpu().numpy().view(np.uint16))
    if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        tensor = tensor.view(torch.uint8)
    array: Array = tensor.cpu().numpy()
    return array
