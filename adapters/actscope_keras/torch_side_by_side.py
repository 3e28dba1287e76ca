"""PyTorch on a CPU: two batches at a time, where no layer keeps anything from one to the next.

While the interpreter is between two operations of one batch, or one of its threads waits for the
rest, the other batch has the cores: small models take three quarters of the time (see
benchmarks/RESULTS.md). A layer that keeps a tensor on itself could be given that of the other
batch, so that this is for models made of Keras's own, whose code is known to keep nothing.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any

import keras
import torch

from actscope.protocol import Array, Fetched
from actscope_keras.forward import BATCHES_AT_A_TIME
from actscope_keras.torch_tensors import Outputs, Pass, fetched, tensors_of

KEEPING_NOTHING = (
    "keras.src.activations.",
    "keras.src.layers.activations.",
    "keras.src.layers.convolutional.",
    "keras.src.layers.core.dense",
    "keras.src.layers.core.einsum_dense",
    "keras.src.layers.core.embedding",
    "keras.src.layers.core.identity",
    "keras.src.layers.core.input_layer",
    "keras.src.layers.core.masking",
    "keras.src.layers.merging.",
    "keras.src.layers.normalization.",
    "keras.src.layers.pooling.",
    "keras.src.layers.regularization.",
    "keras.src.layers.reshaping.",
    "keras.src.models.functional",
    "keras.src.models.sequential",
    "keras.src.ops.",
)
"""What the modules of such classes and functions begin with; a test looks at their code."""

TOO_LARGE = 2**25
"""Bytes of one layer's output from which on a second batch costs more than it gains: to reuse so
large a block is harder for `malloc` in other threads than in the first."""


def keeps_nothing(model: Any) -> bool:
    """Whether a pass over the model leaves nothing behind that another one could come upon."""
    return all(_is_pure(operation) for operation in _operations(model))


def _operations(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield layer
        yield from getattr(layer, "operations", ())  # of a functional model, those not layers too


def _is_pure(operation: Any) -> bool:
    activation = getattr(operation, "activation", None)
    return (
        _is_known(type(operation))
        and "call" not in vars(operation)
        and getattr(operation, "activity_regularizer", None) is None
        and (activation is None or _is_known(activation))
    )


def _is_known(code: Any) -> bool:
    """Whether a class or function is one of Keras's that keep nothing."""
    module = getattr(code, "__module__", None)  # None of a function in C
    return isinstance(module, str) and module.startswith(KEEPING_NOTHING)


def runs_alike_elsewhere() -> bool:
    """Whether a pass in another thread is the same: some settings are those of a thread."""
    return not (
        torch.is_autocast_enabled("cpu")
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
    )


class SideBySideStep:
    """Eager passes on the CPU, two at a time, each with half of PyTorch's threads."""

    def __init__(self, run: Pass) -> None:
        """Args: the pass, of a model that keeps nothing."""
        self._run = run
        self._threads = _threads_of(torch.get_num_threads())

    def stage(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """The arrays' own buffers, not copies."""
        return tensors_of(arrays)

    def launch(self, staged: list[torch.Tensor]) -> Future[Outputs]:
        """Run the batch; this returns before it is done."""
        return self._threads.submit(self._pass, staged)

    def fetch(self, launched: Future[Outputs]) -> Fetched:
        """The tensors' own buffers, not copies."""
        return fetched(*launched.result())

    def _pass(self, staged: list[torch.Tensor]) -> Outputs:
        with keras.device("cpu"):  # a setting of the thread
            return self._run(staged)


def _threads_of(threads: int) -> ThreadPoolExecutor:
    """Python's threads, which share PyTorch's among them."""
    pool = ThreadPoolExecutor(BATCHES_AT_A_TIME, "actscope-pass")
    together = Barrier(BATCHES_AT_A_TIME)

    def take_share() -> None:
        together.wait()  # each of the threads, and none twice
        torch.get_num_threads()  # which is set when it is first asked for in a thread
        torch.set_num_threads(max(1, threads // BATCHES_AT_A_TIME))

    for taken in [pool.submit(take_share) for _ in range(BATCHES_AT_A_TIME)]:
        taken.result()
    torch.set_num_threads(threads)  # that of later threads was set as well
    return pool
