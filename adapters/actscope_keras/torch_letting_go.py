"""PyTorch: a pass lets go of what a layer returned as soon as no other layer needs it.

Keras keeps what every layer of a functional model returned until the pass ends. A compiler sees
what is still needed; PyTorch runs eagerly, and holds all: 5.5 GB for 32 pictures in ResNet50
instead of 2.2 (see benchmarks/RESULTS.md). Memory used once is slower than memory used again.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from functools import wraps
from itertools import chain
from typing import Any

from keras.src.ops.function import Function
from keras.src.ops.symbolic_arguments import SymbolicArguments

from actscope_keras.capture import Operation, Replacement, current_capture

RUN, FILL_IN = "_run_through_graph", "fill_in"
"""Keras's own, which it may drop: what runs a functional model, and what gives an operation in it
the tensors that it takes."""

Uses = Counter[int]
"""How often a tensor of a model's structure is taken in a run, by its `id`."""


class _Runs(threading.local):
    """The uses that are left in the runs under way in this thread, the innermost last."""

    def __init__(self) -> None:
        self.left: list[Uses] = []


_runs = _Runs()


def letting_go() -> Iterator[Replacement]:
    """What to replace while captures are under way."""
    if RUN in vars(Function) and FILL_IN in vars(SymbolicArguments):
        yield Function, RUN, _counting
        yield SymbolicArguments, FILL_IN, _using


def _uses(function: Any) -> Uses:
    """Those of a functional model: what it returns is needed to the end."""
    nodes = chain.from_iterable(function._nodes_by_depth.values())
    taken = (node.arguments.keras_tensors for node in nodes if node.operation and not node.is_input)
    return Counter(map(id, chain(function.outputs, *taken)))


def _counting(original: Operation) -> Operation:
    """A run through a functional model that knows what is needed later."""

    @wraps(original)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if current_capture() is None:
            return original(self, *args, **kwargs)
        _runs.left.append(_uses(self))
        try:
            return original(self, *args, **kwargs)
        finally:
            _runs.left.pop()

    return run


def _using(original: Operation) -> Operation:
    """Gives an operation its tensors, and takes those from the run that it is the last to need."""

    @wraps(original)
    def fill_in(self: Any, tensors: dict[int, Any]) -> Any:
        taken = original(self, tensors)
        if _runs.left:  # of this thread, and there only where a capture is under way
            left = _runs.left[-1]
            for used in map(id, self.keras_tensors):
                left[used] -= 1
                if not left[used]:
                    tensors.pop(used, None)
        return taken

    return fill_in
