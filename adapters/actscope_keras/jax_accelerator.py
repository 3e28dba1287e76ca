"""JAX on an accelerator: batches on their way there, in it, and on their way back at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from actscope.protocol import Array, Fetched
from actscope_keras.forward import in_own_dtype

PIECE = 2**23
"""For every so many bytes an array is sent in one piece more: JAX copies each in one thread."""

PIECES = 4
"""More at a time take longer to be handed over than they are faster."""


class AcceleratorStep:
    """A compiled step; launching it returns once its inputs have arrived, as JAX has it.

    Beside the dispatch itself, which takes as long as a small batch is computed, other threads read
    the weights' values and have the outputs copied: of hundreds of arrays that takes milliseconds.
    """

    def __init__(
        self,
        run: Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]],
        values: Callable[[], list[Any]],
        arrays: Sequence[Array],
    ) -> None:
        """Compile a pass for the arrays' shapes.

        Args:
            run: the pass, given the weights and the arrays.
            values: gives the weights' present values.
            arrays: inputs and targets.
        """

        def run_pieces(values: list[Any], pieces: list[list[Any]]) -> tuple[list[Any], list[Any]]:
            return run(values, [jnp.concatenate(of_one) for of_one in pieces])

        self._values = values
        self._compiled = jax.jit(run_pieces).lower(values(), _in_pieces(arrays)).compile()
        self._copying = ThreadPoolExecutor(1, "actscope-copy")

    def stage(self, arrays: Sequence[Array]) -> tuple[list[Any], list[list[Any]]]:
        """Send a batch on its way, and say with which weights it will be computed."""
        # The weights are read every time: `fit` and `predict` donate the buffers they were given.
        return self._values(), jax.device_put(_in_pieces(arrays))

    def launch(self, staged: tuple[list[Any], list[list[Any]]]) -> Any:
        """Dispatch the batch, and the copies to the host that follow it."""
        outputs, overflows = self._compiled(*staged)
        return self._copying.submit(_towards_host, outputs), overflows

    def fetch(self, launched: Any) -> Fetched:
        """The memory that the accelerator wrote to, not copies."""
        copies, overflows = launched
        return Fetched(
            [in_own_dtype(np.asarray(output)) for output in copies.result()],
            [np.asarray(overflow) for overflow in overflows],
        )


def _in_pieces(arrays: Sequence[Array]) -> list[list[Array]]:
    """Each array as pieces of its rows, which are sent side by side."""
    return [
        np.array_split(array, min(len(array), PIECES, 1 + array.nbytes // PIECE))
        for array in arrays
    ]


def _towards_host(outputs: list[Any]) -> list[Any]:
    """The arrays on their way into host memory that the accelerator writes to by itself.

    Without that, JAX copies through a buffer of its own, at a thirtieth of the speed:
    https://github.com/jax-ml/jax/issues/21438
    """
    shardings = [output.sharding for output in outputs]
    if not all(map(_has_pinned_memory, shardings)):
        for output in outputs:
            output.copy_to_host_async()
        return outputs
    moved: list[Any] = jax.device_put(
        outputs, [sharding.with_memory_kind("pinned_host") for sharding in shardings]
    )
    return moved


def _has_pinned_memory(sharding: Any) -> bool:
    return all(
        any(memory.kind == "pinned_host" for memory in device.addressable_memories())
        for device in sharding.device_set
    )
