"""What layers compute, brought to memory instead of a file: for small data and interactive use.

The compiled steps of the last few calls are kept, so that a loop over samples compiles once.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from actscope.extraction import feed_for
from actscope.feed import Feed
from actscope.objectives import with_targets
from actscope.pipeline import record
from actscope.planning import plan_wanted
from actscope.protocol import Adapter, Array, LayerInfo, Objective, Step, Trace, Wanted
from actscope.registry import adapter_for

LARGEST_BATCH = 128
KEPT = 4
"""Of how many calls the traces, and of how many the steps are kept. They keep their models too."""

Made = TypeVar("Made")

_traces: OrderedDict[Any, Trace] = OrderedDict()
_steps: OrderedDict[Any, Step] = OrderedDict()


class _Memory:
    """Takes batches as a recording's writer does, and keeps their rows."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Array]] = []

    def append(self, batch: Sequence[Array]) -> None:
        self.batches.append([np.array(part) for part in batch])

    def commit(self) -> None:
        """Nothing to be made safe."""


def traced(model: Any, data: Any) -> Trace:
    """The model as it runs on the data; traced once for data of the same shape."""
    adapter = adapter_for(model)
    feed = feed_for(adapter, model, data)
    return _kept(_traces, _key(model, feed), lambda: adapter.trace(model, feed.example))


def capture(
    model: Any, data: Any, layers: Sequence[LayerInfo], objective: Objective | None = None
) -> dict[str, list[Array]]:
    """The outputs of layers for all samples; or, with an objective, the gradients.

    Args:
        model: a model that an installed adapter knows.
        data: as `actscope.extract` takes them.
        layers: some of those in `traced(model, data).layers`.
        objective: what to give the gradients of instead.

    Returns:
        For each layer one array `(N, ...)` per call and tensor, by path. bfloat16 and float8 come
        as float32. Outputs that have no gradient, such as integers, are left out with an objective.
    """
    adapter = adapter_for(model)
    feed = feed_for(adapter, model, data)
    wanted = [
        _in_memory(tensor)
        for tensor in plan_wanted(layers, gradients=objective is not None)
        if tensor.stored.is_gradient == (objective is not None)
    ]
    batch_size = min(feed.length, LARGEST_BATCH)
    step = _step(adapter, model, feed, wanted, batch_size, objective)
    targets = objective.targets.arrays if objective and objective.targets else ()
    memory = _Memory()
    record(
        with_targets(feed.batches(batch_size, 0), targets),
        step,
        memory,
        batch_size=batch_size,
        stored_inputs=(),
        on_batch=lambda _: None,
    )
    found: dict[str, list[Array]] = {}
    for tensor, parts in zip(wanted, zip(*memory.batches, strict=True), strict=True):
        found.setdefault(tensor.source.path, []).append(np.concatenate(parts))
    return found


def _in_memory(tensor: Wanted) -> Wanted:
    narrow = tensor.stored.dtype == "bfloat16" or tensor.stored.dtype.startswith("float8")
    return replace(tensor, stored=replace(tensor.stored, dtype="float32")) if narrow else tensor


def _step(
    adapter: Adapter,
    model: Any,
    feed: Feed,
    wanted: Sequence[Wanted],
    batch_size: int,
    objective: Objective | None,
) -> Step:
    trace = _kept(_traces, _key(model, feed), lambda: adapter.trace(model, feed.example))
    if objective is not None:
        # Not kept: a model may be compiled with another loss meanwhile.
        return trace.compile(wanted, batch_size, objective)
    key = (*_key(model, feed), tuple(wanted), batch_size)
    return _kept(_steps, key, lambda: trace.compile(wanted, batch_size))


def _key(model: Any, feed: Feed) -> tuple[Any, ...]:
    """What a trace depends on: the model, the weights that it is made of, and the data's shape."""
    weights = tuple(id(weight) for weight in getattr(model, "variables", ()))
    shapes = tuple((array.shape[1:], str(array.dtype)) for array in feed.example.arrays)
    return (model, weights, feed.example.names, shapes)


def _kept(kept: "OrderedDict[Any, Made]", key: Any, make: Callable[[], Made]) -> Made:
    found = kept.pop(key, None)
    kept[key] = make() if found is None else found
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]
