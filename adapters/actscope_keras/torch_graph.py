"""PyTorch on a GPU: a pass that is launched at once, as a CUDA graph.

A pass of Keras takes Python tens of milliseconds to launch, operation by operation, whatever the
size of the batch; the GPU waits for it. A graph launches the same operations on the same memory in
one call: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from actscope_keras.torch_tensors import Outputs, Pass

PASSES_BEFORE = 4
"""A graph is made after so many passes, of which it takes as much time as three."""

_UNREPEATABLE = {
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.nondeterministic_seeded,
}


class GraphedPass:
    """A pass over batches of one shape, which becomes a graph where that changes nothing.

    A graph repeats what was launched when it was made. So a pass stays as it is where it looks at
    what was computed, draws random numbers, takes anything from the host but constants, or changes
    a tensor that it did not make, and where the graph returns other bits than the pass.
    """

    def __init__(self, run: Pass, device: torch.device) -> None:
        """Args: the pass, and the GPU that it runs on."""
        self._run = run
        self._device = device
        self._passes = 0
        self._graph: Graph | None = None

    def __call__(self, tensors: Sequence[torch.Tensor]) -> Outputs:
        """Launch the pass; the outputs belong to the caller."""
        if self._graph is not None:
            return self._graph.launch(tensors)
        self._passes += 1
        if self._passes != PASSES_BEFORE:
            return self._run(tensors)
        constants = Constants()
        with constants:
            outputs = self._run(tensors)
        if is_repeatable(self._run, tensors, constants, self._device):
            graph = recorded(self._run, tensors, constants, self._device)
            if graph is not None and _are_same(graph.launch(tensors), outputs):
                self._graph = graph
        return outputs


@dataclass(frozen=True)
class Graph:
    """A recorded pass.

    Attributes:
        replay: launches it once more.
        inputs: where it takes its inputs from.
        outputs: where it leaves what it returns, until it is launched again.
        constants: other tensors that it reads.
    """

    replay: Any
    inputs: list[torch.Tensor]
    outputs: Outputs
    constants: "Constants"

    def launch(self, tensors: Sequence[torch.Tensor]) -> Outputs:
        """Run it over a batch; the outputs are copies."""
        for own, given in zip(self.inputs, tensors, strict=True):
            own.copy_(given)
        self.replay()
        outputs, overflows = self.outputs
        return [output.clone() for output in outputs], [count.clone() for count in overflows]


def recorded(
    run: Pass, tensors: Sequence[torch.Tensor], constants: "Constants", device: torch.device
) -> Graph | None:
    """The pass as a graph, or None where that fails.

    Args:
        run: what is repeatable.
        tensors: a batch.
        constants: what the pass took from the host.
        device: the GPU.
    """
    inputs = [tensor.clone() for tensor in tensors]
    graph = torch.cuda.CUDAGraph()
    pool = torch.cuda.graph_pool_handle()
    torch.cuda.empty_cache()  # The graph has memory of its own.
    try:
        with torch.cuda.stream(torch.cuda.Stream(device)), constants:
            _begin(graph, pool, device)
            try:
                outputs = run(inputs)
            finally:
                graph.capture_end()
    except Exception:  # whatever it is: the pass itself just worked
        _abandon(graph, pool, device)
        return None
    return Graph(graph.replay, inputs, outputs, constants)


def _begin(graph: Any, pool: Any, device: torch.device) -> None:
    """Begin to record, without the state of the GPU's random numbers, which the pass draws none of.

    Nobody else could draw any meanwhile, and, if it failed, afterwards.
    """
    generator = torch.cuda.default_generators[device.index]
    own = generator.graphsafe_get_state()
    generator.graphsafe_set_state(generator.clone_state())
    try:
        # Other threads send batches meanwhile.
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
    finally:
        generator.graphsafe_set_state(own)


_ABANDONED: list[Any] = []


def _abandon(graph: Any, pool: Any, device: torch.device) -> None:
    """End what PyTorch leaves under way where recording failed: its allocator asks the graph."""
    _ABANDONED.append(graph)
    with suppress(Exception):
        torch._C._cuda_endAllocateToPool(device.index, pool)


def _are_same(some: Outputs, others: Outputs) -> bool:
    """Whether all bits are."""
    pairs = zip(chain(*some), chain(*others), strict=True)
    return all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in pairs)


class Constants(TorchFunctionMode):  # type: ignore[misc]
    """Within it, what is made of the host's numbers is made once, and copied on the device then.

    A graph cannot take the host's numbers, since they would be looked at when it is launched.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[Any, torch.Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """See PyTorch."""
        given = kwargs or {}
        key = _constant(func, args, given)
        if key is None:
            return func(*args, **given)
        if key not in self._made:
            self._made[key] = func(*args, **given)
        return self._made[key].clone()


def _constant(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What tells a constant from others; None where the call makes none."""
    if func not in (torch.as_tensor, torch.tensor) or len(args) != 1 or "data" in kwargs:
        return None
    if any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(args)):
        return None
    values = np.asarray(args[0])
    if values.dtype.hasobject:
        return None
    kinds = tuple(type(leaf) for leaf in tree_leaves(args))
    words = tuple(sorted(kwargs.items()))
    return func, values.shape, values.dtype, values.tobytes(), kinds, words


def is_repeatable(
    run: Pass, tensors: Sequence[torch.Tensor], constants: Constants, device: torch.device
) -> bool:
    """Whether a pass does nothing that a graph would not repeat, as far as PyTorch sees it."""
    watch = _Watch(device)
    with _noticing_waits(device) as waits, constants, watch:
        run(tensors)
    return watch.repeatable and not any(_WAITING in str(one.message) for one in waits)


_WAITING = "synchronizing CUDA operation"


@contextmanager
def _noticing_waits(device: torch.device) -> Iterator[list[warnings.WarningMessage]]:
    """The warnings within it, among them one for each operation that waits for the GPU."""
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        if device.type != "cuda":
            yield noticed
            return
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield noticed
        finally:
            torch.cuda.set_sync_debug_mode(before)


class _Watch(TorchDispatchMode):  # type: ignore[misc]
    """Looks at every operation within it."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.repeatable = True
        self._device = device
        self._made: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """See PyTorch."""
        given = kwargs or {}
        with self:  # the operations that this one is made of
            result = func.decompose(*args, **given)
        if result is NotImplemented:
            result = func(*args, **given)
            self._look(func, args, given, result)
        return result

    def _look(self, func: Any, args: Sequence[Any], kwargs: Any, result: Any) -> None:
        taken, made = _tensors((args, kwargs)), _tensors(result)
        changed = [place for tensor in _changed(func, args, kwargs) for place in _places([tensor])]
        if (
            _UNREPEATABLE.intersection(func.tags)
            or func is torch.ops.aten.lift_fresh.default  # of numbers of the host
            or any(tensor.device != self._device for tensor in (*taken, *made))
            or not self._made.issuperset(changed)
        ):
            self.repeatable = False
        self._made |= _places(made) - _places(taken)


def _changed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterable[torch.Tensor]:
    """The tensors that an operation writes to."""
    arguments = func._schema.arguments
    named = {**dict(zip((argument.name for argument in arguments), args, strict=False)), **kwargs}
    for argument in arguments:
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(named.get(argument.name))


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _places(tensors: Iterable[torch.Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}
