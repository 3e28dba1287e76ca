"""Captures what layers return while a model runs, by intercepting the call of each layer.

Keras has no forward hooks, but every layer's call passes through `keras.layers.Layer.__call__`,
every other operation of a functional model through `keras.Operation.__call__`, and every loop,
softmax and sigmoid through the backend's. These are replaced while a capture is under way in some
thread, and put back after the last; calls in other threads pass straight through. So are operations
that take the backend longer than they need; see `tensorflow_operations` and `torch_operations`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from importlib import import_module
from typing import Any

import keras
from keras.src.backend import core, get_keras_mask, is_float_dtype, nn, set_keras_mask

from actscope_keras.naming import LayerPaths

LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)
"""Layers that run others inside a loop, whose inner tensors cannot leave it."""

_LOOPING = (
    "associative_scan",
    "cond",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "vectorized_map",
    "while_loop",
)
"""Operations that trace a function apart from the rest, on the backends that trace."""

Operation = Callable[..., Any]

Replacement = tuple[Any, str, Callable[[Operation], Operation]]
"""A module, the name of an operation in it, and what makes another of it."""

OutputKey = tuple[str, int, int]
"""Layer path, call and index: what names one tensor."""


class Enough(BaseException):
    """Ends the forward pass once everything wanted was captured.

    Not an `Exception`, so that neither Keras nor a model's own error handling stops it.
    """


@dataclass(frozen=True)
class Captured:
    """One tensor that a layer returned, as the backend's own tensor.

    Attributes:
        path: the layer's path, or that of an input or output of the model.
        layer: the layer; the model itself for its output, None for an input without a layer.
        call: which call of the layer.
        index: which of the tensors that the call returned.
        key: the name of the tensor where the layer returned a dict, else empty.
        tensor: the tensor.
        mask: the mask that came with it, or None.
        enclosing: the layers around the call, the outermost first.
    """

    path: str
    layer: Any
    call: int
    index: int
    key: str
    tensor: Any
    mask: Any = None
    enclosing: tuple[Any, ...] = ()

    @property
    def class_name(self) -> str:
        """The layer's class."""
        return "InputLayer" if self.layer is None else type(self.layer).__name__

    @property
    def name(self) -> OutputKey:
        """What names this tensor among all."""
        return (self.path, self.call, self.index)


@dataclass(eq=False)
class Capture:
    """What has been seen of one forward pass.

    Attributes:
        paths: names the layers.
        is_reachable: whether a tensor may leave the function that the backend is compiling.
        wanted: the tensors to keep; None keeps all.
        watch: given each tensor kept, returns what takes its place in the rest of the pass, so
            that gradients with respect to it can be told; None where no gradients are wanted.
        take: given each tensor kept, at once, so that it need not be held until the pass ends; None
            where the tensors themselves are wanted.
        tensors: those kept, in the order of execution.
        hidden: for layers seen only where their tensors cannot leave, the nearest enclosing layer
            that can be captured instead, both by path.
        left_out: for layers with outputs that are no tensors, what these are, by path.
        returned: what the model returned, where the pass ran to its end.
    """

    paths: LayerPaths
    is_reachable: Callable[[Any], bool]
    wanted: frozenset[OutputKey] | None = None
    watch: Callable[[Captured], Any] | None = None
    take: Callable[[Captured], None] | None = None
    tensors: list[Captured] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    returned: Any = None
    _stack: list[Any] = field(default_factory=list)
    _calls: dict[str, int] = field(default_factory=dict)
    _loops: list[str] = field(default_factory=list)
    _activated: list[tuple[Any, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wanted_paths = frozenset(path for path, _, _ in self.wanted or ())

    @property
    def layer_under_way(self) -> Any | None:
        """The innermost layer whose call is under way, if any is."""
        return self._stack[-1] if self._stack else None

    def _path_under_way(self) -> str:
        """Its path; empty where there is none."""
        layer = self.layer_under_way
        return "" if layer is None else self.paths.path_of(layer)

    @contextmanager
    def inside(self, layer: Any) -> Iterator[None]:
        """Notes that a layer's call is under way."""
        self._stack.append(layer)
        try:
            yield
        finally:
            self._stack.pop()

    def record(self, layer: Any, outputs: Any) -> Any:
        """Note what a layer has just returned; returns what takes its place.

        Raises:
            Enough: the last of the wanted tensors was seen, and nothing follows from them.
        """
        path = self.paths.path_of(layer)
        if not path or not self._is_wanted(path):
            return outputs
        leaves = flat(outputs)
        found = [(key, leaf) for key, leaf in leaves if keras.ops.is_tensor(leaf)]
        if len(found) < len(leaves):
            self.left_out[path] = "outputs that are None or no tensors are left out"
        enclosing = self._loop_around(found)
        if enclosing is not None:
            self.hidden.setdefault(path, enclosing)
            return outputs
        kept = self.keep(path, layer, found)
        if self.watch is None and self.wanted is not None and len(self.tensors) == len(self.wanted):
            raise Enough
        return replaced(outputs, found, kept)

    def _is_wanted(self, path: str) -> bool:
        return self.wanted is None or path in self._wanted_paths

    def keep(self, path: str, layer: Any, found: Sequence[tuple[str, Any]]) -> list[Any]:
        """Keep the wanted ones among the tensors of one call; returns what takes their places."""
        if not self._is_wanted(path):
            return [tensor for _, tensor in found]
        call = self._calls.get(path, 0)
        self._calls[path] = call + 1
        return [self._keep_one(path, layer, call, *numbered) for numbered in enumerate(found)]

    def _keep_one(
        self, path: str, layer: Any, call: int, index: int, found: tuple[str, Any]
    ) -> Any:
        key, tensor = found
        mask = get_keras_mask(tensor)
        captured = Captured(path, layer, call, index, key, tensor, mask, tuple(self._stack))
        if self.wanted is not None and captured.name not in self.wanted:
            return tensor
        if self.watch is not None and is_float_dtype(tensor.dtype):
            watched = self.watch(captured)
            if mask is not None:
                set_keras_mask(watched, mask)
            self._activated += [(watched, before) for before in self._before(tensor)]
            captured, tensor = replace(captured, tensor=watched), watched
        if self.take is not None:
            self.take(captured)
            captured = replace(captured, tensor=None, mask=None)
        self.tensors.append(captured)
        return tensor

    def holding(self, tensors: Sequence[tuple[Any, Any]]) -> "Capture":
        """The same capture with other tensors and masks in the places of those kept."""
        kept = [
            replace(old, tensor=tensor, mask=mask)
            for old, (tensor, mask) in zip(self.tensors, tensors, strict=True)
        ]
        return replace(self, tensors=kept)

    def note_activation(self, before: Any, after: Any) -> None:
        """Note what a softmax or a sigmoid was computed from."""
        if self.watch is not None:
            self._activated.append((after, before))

    def _before(self, tensor: Any) -> list[Any]:
        return [before for after, before in self._activated if after is tensor]

    def logits(self, tensor: Any) -> Any:
        """What a softmax or sigmoid made the tensor from; the tensor itself where none did."""
        return next(iter(self._before(tensor)), tensor)

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Notes that an operation that loops is under way."""
        self._loops.append(self._path_under_way())
        try:
            yield
        finally:
            self._loops.pop()

    def _loop_around(self, found: list[tuple[str, Any]]) -> str | None:
        """The path of the layer to capture instead, where a loop is under way.

        What is known to loop counts on every backend, even where it unrolls, so that the same
        layers are offered everywhere.
        """
        for layer in self._stack:
            if isinstance(layer, LOOPS):
                return self.paths.path_of(layer)
        if self._loops:
            return self._loops[0]
        if all(self.is_reachable(tensor) for _, tensor in found):
            return None
        return self._path_under_way()


def replaced(outputs: Any, found: Sequence[tuple[str, Any]], kept: Sequence[Any]) -> Any:
    """The nested outputs with each tensor that was kept in its own place."""
    if all(tensor is new for (_, tensor), new in zip(found, kept, strict=True)):
        return outputs
    waiting = iter(kept)
    return keras.tree.map_structure(
        lambda leaf: next(waiting) if keras.ops.is_tensor(leaf) else leaf, outputs
    )


def flat(outputs: Any) -> list[tuple[str, Any]]:
    """The leaves of nested outputs, each with its dict key, if any, as `outer/inner`."""
    return [
        ("/".join(str(step) for step in steps if isinstance(step, str)), leaf)
        for steps, leaf in keras.tree.flatten_with_path(outputs)
    ]


_state = threading.local()
_lock = threading.Lock()
_under_way: list[Capture] = []
_originals: dict[tuple[Any, str], Operation] = {}


def current_capture() -> Capture | None:
    """What records the layers called in this thread, if anything does."""
    capture: Capture | None = getattr(_state, "capture", None)
    return capture


def layer_under_way() -> Any | None:
    """The innermost layer whose call is recorded in this thread, if any is."""
    capture = current_capture()
    return None if capture is None else capture.layer_under_way


@contextmanager
def capturing(capture: Capture) -> Iterator[None]:
    """Record into `capture` every layer called in this thread; nothing stays behind afterwards."""
    with _lock:
        if not _under_way:
            _replace_calls()
        _under_way.append(capture)
    previous, _state.capture = current_capture(), capture
    try:
        yield
    finally:
        _state.capture = previous
        with _lock:
            _under_way.remove(capture)
            if not _under_way:
                _restore_calls()


def _replace_calls() -> None:
    for owner in (keras.layers.Layer, keras.Operation):
        _replace(owner, "__call__", partial(_intercepting, owner))
    for name in ("softmax", "sigmoid"):
        _replace(nn, name, _noting)
    for name in _LOOPING:
        _replace(core, name, _looping)
    for owner, name, wrapping in _faster_operations():
        _replace(owner, name, wrapping)


def _faster_operations() -> Iterable[Replacement]:
    """The backend's operations that take longer than they need, and what makes faster ones."""
    backend = keras.config.backend()
    if backend not in ("tensorflow", "torch"):
        return ()
    module = import_module(f"actscope_keras.{backend}_operations")
    operations: Iterable[Replacement] = module.faster_operations()
    return operations


def _replace(owner: Any, name: str, wrapping: Callable[[Operation], Operation]) -> None:
    original = _originals[owner, name] = vars(owner)[name]
    setattr(owner, name, wrapping(original))


def _restore_calls() -> None:
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()


def _looping(original: Operation) -> Operation:
    """A looping operation of the backend that says that it is under way."""

    @wraps(original)
    def operation(*args: Any, **kwargs: Any) -> Any:
        capture = current_capture()
        if capture is None:
            return original(*args, **kwargs)
        with capture.loop():
            return original(*args, **kwargs)

    return operation


def _noting(original: Operation) -> Operation:
    """An activation of the backend that notes what it was computed from."""

    @wraps(original)
    def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
        output = original(x, *args, **kwargs)
        capture = current_capture()
        if capture is not None:
            capture.note_activation(x, output)
        return output

    return activation


def _intercepting(owner: type, original: Operation) -> Operation:
    """The call of `owner` with a capture of what it returns.

    Layers pass through `keras.Operation` a second time. Operations that are not part of the
    model's structure, such as the padding inside a layer, are made anew, under another name, at
    every call: they are no layers of the model.
    """
    passed_before = keras.layers.Layer if owner is keras.Operation else ()

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        capture = current_capture()
        if capture is None or isinstance(self, passed_before) or self not in capture.paths:
            return original(self, *args, **kwargs)
        with capture.inside(self):
            outputs = original(self, *args, **kwargs)
        return capture.record(self, outputs)

    return __call__
