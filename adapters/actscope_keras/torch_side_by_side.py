"""PyTorch on a CPU: two batches at a time, where no code but Keras's own could tell.

While the interpreter is between two operations of one batch, or one of its threads waits for the
rest, the other batch has the cores: small models take three quarters of the time (see
benchmarks/RESULTS.md). Code that keeps a tensor could be given that of the other batch, so that
this is for models of Keras's own layers, whose code is known to keep nothing, without hooks.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, TypeVar

import keras
import numpy as np
import torch
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.backend.torch.core import get_device
from keras.src.models.functional import Functional
from torch.nn.modules import module as modules

from actscope.protocol import Array, Fetched, Step
from actscope_keras.forward import BATCHES_AT_A_TIME
from actscope_keras.torch_in_place import is_of_keras, is_own_activation
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
    "keras.src.ops.nn",
    "keras.src.ops.numpy",
)
"""What the modules of such classes begin with; a test looks at the code of their layers."""

TOO_LARGE = 2**25
"""Bytes of one layer's output from which on a second batch costs more than it gains: to reuse so
large a block is harder for `malloc` in other threads than in the first."""

WRAPPED = {"build", "quantize"}
"""Methods that Keras itself replaces in each layer; neither is called by a pass."""

Result = TypeVar("Result")


def keeps_nothing(model: Any) -> bool:
    """Whether a pass over the model leaves nothing behind that another one could come upon."""
    return not modules._has_any_global_hook() and all(map(_is_pure, _operations(model)))


def _operations(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield layer
        if isinstance(layer, Functional):
            yield from layer.operations  # those that are no layers too


def _is_pure(operation: Any) -> bool:
    # PyTorch takes long to tell that a module lacks an attribute: what is set is looked up.
    own, kind = vars(operation), operation.__class__
    activation, policy = own.get("activation"), own.get("_dtype_policy")
    return (
        kind.__module__.startswith(KEEPING_NOTHING)
        and is_of_keras(kind.call)
        and not own.keys() & _methods(kind)
        and not own.get("_forward_hooks")
        and not own.get("_forward_pre_hooks")
        and own.get("activity_regularizer") is None
        and getattr(operation, "quantization_mode", None) is None
        and (policy is None or type(policy).__module__.startswith("keras.src.dtype_policies"))
        and (activation is None or is_own_activation(activation))
    )


@cache
def _methods(kind: type) -> frozenset[str]:
    """Those of its methods that an instance has no business to have of its own."""
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name))) - WRAPPED


def runs_alike_elsewhere() -> bool:
    """Whether a pass in another thread is the same: some settings are those of a thread."""
    flushes_denormals = np.float32(1e-40) * np.float32(1) == 0
    return not (
        torch.is_autocast_enabled("cpu")
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or in_stateless_scope()
        or get_device() != "cpu"
        or flushes_denormals
    )


class SideBySideStep:
    """Eager passes on the CPU, two at a time, each with half of PyTorch's threads.

    Whether that may be is asked for each batch: hooks and settings change while a step is kept.
    """

    def __init__(self, run: Pass, model: Any, alone: Step) -> None:
        """Args: the pass, its model, and what computes a batch where none may be beside it."""
        self._run = run
        self._model = model
        self._alone = alone

    def stage(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        """The arrays' own buffers, not copies."""
        return tensors_of(arrays)

    def launch(self, staged: list[torch.Tensor]) -> Any:
        """Run the batch; where another may be beside it, this returns before it is done."""
        threads = torch.get_num_threads()
        if threads > 1 and runs_alike_elsewhere() and keeps_nothing(self._model):
            with suppress(RuntimeError):  # where no thread can be started any more
                return _pool_of(threads).submit(self._pass, staged)
        return self._alone.launch(staged)

    def fetch(self, launched: Any) -> Fetched:
        """The tensors' own buffers, not copies."""
        if not isinstance(launched, Future):
            return fetched(*launched)
        try:
            return fetched(*launched.result())
        except BaseException:
            wait([launched])  # an interrupt does not end the pass
            raise

    def _pass(self, staged: list[torch.Tensor]) -> Outputs:
        with keras.device("cpu"):  # a setting of the thread
            return self._run(staged)


_making = threading.RLock()


def _pool_of(threads: int) -> ThreadPoolExecutor:
    """Python's threads of this process, which share so many of PyTorch's."""
    with _making:
        return _pool(os.getpid(), threads)


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - none outlives a fork
    pool = ThreadPoolExecutor(BATCHES_AT_A_TIME, "actscope-pass")
    together = threading.Barrier(BATCHES_AT_A_TIME)

    def take_share() -> None:
        together.wait()  # each of the threads, and none twice
        torch.get_num_threads()  # which is set when it is first asked for in a thread
        torch.set_num_threads(max(1, threads // BATCHES_AT_A_TIME))

    given = _in_new_thread(torch.get_num_threads)
    try:
        for taken in [pool.submit(take_share) for _ in range(BATCHES_AT_A_TIME)]:
            taken.result()
    except BaseException:
        together.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        # What later threads are given was set as well.
        _in_new_thread(lambda: torch.set_num_threads(given))
    return pool


def _renew_lock() -> None:
    global _making  # noqa: PLW0603 - another thread may have held it when this process was forked
    _making = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _in_new_thread(function: Callable[[], Result]) -> Result:
    """The result of a call in a thread of its own, which has no settings yet."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
