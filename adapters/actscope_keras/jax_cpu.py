"""JAX on a CPU: the memory of large outputs is used again, batch after batch.

glibc returns every block of 32 MiB and more to the system when it is freed. The next batch then
waits for fresh pages, which takes several times as long as filling them. So the memory of an output
that nobody holds any more is donated to the next batch. What is still held is never overwritten:
XLA takes other memory where a NumPy array, or a view of one, looks at what it was given.
"""

import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from actscope.protocol import Array, Fetched, OutputInfo, Wanted
from actscope_keras.forward import BATCHES_AT_A_TIME, in_own_dtype, is_own_dtype
from actscope_keras.jax_compiling import compiled

RETURNED_WHEN_FREED = 2**25
"""From this size on a block goes back to the system: the most that glibc raises its limit to."""


class LentOutput:
    """The memory of one large output: lent as arrays, and used again when these are gone.

    No more is kept for later than is in use, so that memory does not grow, and all of it is
    returned in the end. Arrays may be let go in any thread.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype
        self._in_use: set[int] = set()
        self._spare: list[jax.Array] = []

    def spare(self) -> jax.Array:
        """Memory for the next batch's output."""
        try:
            return self._spare.pop()
        except IndexError:
            return jnp.empty(self.shape, self.dtype)

    def launched(self, output: jax.Array) -> None:
        """Note that an output is on its way."""
        self._in_use.add(id(output))

    def lend(self, output: jax.Array) -> Array:
        """The output's own memory as an array, read only; views of it keep it too."""
        # By the buffer protocol: an array made by `__array__` is kept by the output, which would so
        # hold its own memory.
        array = np.asarray(memoryview(output))
        weakref.finalize(array, self._take_back, output).atexit = False
        return array

    def _take_back(self, output: jax.Array) -> None:
        # Runs wherever the last holder lets go, even amid `spare`: no lock, and one more or less
        # kept for a moment does no harm.
        if id(output) in self._in_use:
            self._in_use.discard(id(output))
            self._spare.append(output)
        del self._spare[len(self._in_use) :]


def lent_outputs(wanted: Iterable[Wanted], rows: int) -> dict[int, LentOutput]:
    """The large ones among a step's outputs, by position."""
    return {
        position: LentOutput((rows, *tensor.stored.shape), _own_dtype(tensor.stored))
        for position, tensor in enumerate(wanted)
        if rows * tensor.stored.bytes_per_sample >= RETURNED_WHEN_FREED
    }


def _own_dtype(output: OutputInfo) -> np.dtype[Any]:
    """A dtype that NumPy knows and is as wide."""
    dtype = jnp.dtype(output.dtype)
    return dtype if is_own_dtype(dtype) else np.dtype(f"u{dtype.itemsize}")


class CpuStep:
    """A compiled step, of which two batches run at a time where their order does not count.

    JAX computes what one thread launches one after another. Launched from another, the next batch
    takes the cores that this one leaves idle.
    """

    def __init__(
        self,
        run: Callable[[list[Any], list[Any]], tuple[list[Any], list[Any]]],
        values: Callable[[], list[Any]],
        arrays: Sequence[Array],
        lent: dict[int, LentOutput],
        *,
        on_several_devices: bool = False,
    ) -> None:
        """Compile a pass for the arrays' shapes.

        Args:
            run: the pass, given the weights and the arrays.
            values: gives the weights' present values.
            arrays: inputs and targets.
            lent: the outputs whose memory is used again, by position; may be none.
            on_several_devices: two batches could wait for each other, each with some of them.
        """
        self._values = values
        self._lent = lent

        def run_into(values: list[Any], arrays: list[Any], _: list[Any]) -> Any:
            outputs, overflows = run(values, arrays)
            for position, one in lent.items():
                if outputs[position].dtype != one.dtype:
                    outputs[position] = jax.lax.bitcast_convert_type(outputs[position], one.dtype)
            return outputs, overflows

        spares = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in lent.values()]
        # XLA puts each output into the donated memory of its shape.
        self._compiled = compiled(run_into, values(), list(arrays), spares, donated=2)
        in_turn = on_several_devices or self._compiled.has_effects
        self._threads = ThreadPoolExecutor(1 if in_turn else BATCHES_AT_A_TIME)

    def stage(self, arrays: Sequence[Array]) -> list[Array]:
        """The arrays themselves."""
        return list(arrays)

    def launch(self, staged: list[Array]) -> Future[Any]:
        """Run the batch; this returns before it is done."""
        # The weights are read every time: `fit` and `predict` donate the buffers they were given.
        values = self._values()
        # Made here, where JAX's settings for the caller's thread hold, such as 64 bits. What
        # `jnp.asarray` does instead is compiled first, and copies.
        arrays = jax.device_put(staged)
        spares = [one.spare() for one in self._lent.values()]
        return self._threads.submit(self._run, values, arrays, spares)

    def _run(
        self, values: list[Any], arrays: list[jax.Array], spares: list[jax.Array]
    ) -> tuple[list[jax.Array], list[jax.Array]]:
        outputs, overflows = self._compiled.call(values, arrays, spares)
        for position, one in self._lent.items():
            one.launched(outputs[position])
        jax.block_until_ready((outputs, overflows))
        return outputs, overflows

    def fetch(self, launched: Future[Any]) -> Fetched:
        """On one device these are its own buffers, not copies."""
        outputs, overflows = launched.result()
        return Fetched(
            [self._to_host(position, output) for position, output in enumerate(outputs)],
            [np.asarray(overflow) for overflow in overflows],
        )

    def _to_host(self, position: int, output: jax.Array) -> Array:
        if position in self._lent:
            return self._lent[position].lend(output)
        return in_own_dtype(np.asarray(output))
