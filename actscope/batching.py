"""Finds a batch size: one that suits a model's layers, or the fastest, by trying a few."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from actscope.errors import ModelError
from actscope.protocol import Array, Step

AUTO = "auto"

DEFAULT_BATCH_SIZE = 32
"""As Keras has it."""

LARGEST_SUITED = 1024
"""From here on what each operation costs to start hardly counts."""

BYTES_OF_LAYERS = 32 * 2**20
"""What all layers return for a batch: about as much as a processor's cache holds."""

BYTES_OF_A_LAYER = 2**30
"""The most that one layer returns for a batch on an accelerator; a few are there at a time."""

SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
WORTH_IT = 1.05
"""How much faster a larger batch must be to be taken."""

BYTES_PER_BATCH = 512 * 2**20
"""Larger batches are not tried: several are in memory at a time."""

_PASSES = 3


def suited(bytes_of_layers: Sequence[int]) -> int:
    """The batch size for a model on a processor, a power of two.

    Args:
        bytes_of_layers: what each layer returns for a sample.
    """
    return _power_of_two(BYTES_OF_LAYERS // max(1, sum(bytes_of_layers)))


def suited_to_accelerator(bytes_of_layers: Sequence[int], bytes_per_sample: int) -> int:
    """The same on an accelerator, which has the more to do at a time the better.

    Args:
        bytes_of_layers: what each layer returns for a sample.
        bytes_per_sample: what comes to the host of it.
    """
    fitting_there = BYTES_OF_A_LAYER // max([1, *bytes_of_layers])
    return _power_of_two(min(fitting_there, BYTES_PER_BATCH // max(1, bytes_per_sample)))


def _power_of_two(samples: int) -> int:
    return min(LARGEST_SUITED, max(DEFAULT_BATCH_SIZE, 1 << max(0, samples.bit_length() - 1)))


def fastest(
    compile_step: Callable[[int], Step],
    example: Sequence[Array],
    samples: int,
    bytes_per_sample: int,
) -> tuple[int, Step]:
    """The batch size with the most samples per second, and its step.

    Doubled until it no longer pays or no longer fits into the device's memory.

    Args:
        compile_step: makes the step for a batch size.
        example: a few rows of each array that the step takes.
        samples: how many there are; no batch is larger.
        bytes_per_sample: what comes to the host of each.

    Raises:
        ModelError: not even the smallest batch fits.
    """
    limit = min(samples, max(SIZES[0], BYTES_PER_BATCH // max(1, bytes_per_sample)))
    sizes = [size for size in SIZES if size <= limit] or [samples]
    best: tuple[float, int, Step] | None = None
    for size in sizes:
        try:
            step = compile_step(size)
            speed = _speed(step, [_tiled(array, size) for array in example], size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        if best is not None and speed < best[0] * WORTH_IT:
            break
        best = (speed, size, step)
    if best is None:
        raise ModelError(
            f"not even {sizes[0]} samples fit into the device's memory: give a smaller batch_size"
        )
    return best[1], best[2]


def _tiled(array: Array, size: int) -> Array:
    return np.resize(array, (size, *array.shape[1:]))


def _speed(step: Step, arrays: list[Array], size: int) -> float:
    """Samples per second, the best of a few passes after one to warm up.

    As in a run, the next batch is launched before the last is fetched.
    """
    times = []
    launched = step.launch(step.stage(arrays))
    for _ in range(_PASSES + 1):
        start = time.perf_counter()
        ahead = step.launch(step.stage(arrays))
        step.fetch(launched)
        launched = ahead
        times.append(time.perf_counter() - start)
    step.fetch(launched)
    return size / min(times[1:])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that memory ran out."""
    seen: BaseException | None = error
    while seen is not None:
        text = f"{type(seen).__name__}: {seen}".lower()
        if isinstance(seen, MemoryError) or "resource_exhausted" in text:
            return True
        if "out of memory" in text or "resourceexhausted" in text or "oom when" in text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
