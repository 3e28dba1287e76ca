"""Captures what layers return while a model runs, by intercepting the call of each layer.

Keras has no forward hooks, but every layer's call passes through `keras.layers.Layer.__call__`, and
every other operation of a functional model through `keras.Operation.__call__`. Both are replaced
while a capture is under way in some thread, and put back after the last; calls in other threads
pass straight through.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras

from actscope_keras.naming import LayerPaths

LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)
"""Layers that run others inside a loop, whose inner tensors cannot leave it."""

OutputKey = tuple[str, int, int]
"""Layer path, call and index: what names one tensor."""


class Enough(BaseException):
    """Ends the forward pass once everything wanted was captured.

    Not an `Exception`, so that neither Keras nor a model's own error handling stops it.
    """


@dataclass(frozen=True)
class Captured:
    """One tensor that a layer returned, as the backend's own tensor."""

    path: str
    layer: Any
    call: int
    index: int
    key: str
    tensor: Any
    enclosing: tuple[Any, ...]

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
        tensors: those kept, in the order of execution.
        hidden: for layers seen only where their tensors cannot leave, the nearest enclosing layer
            that can be captured instead, both by path.
        left_out: for layers with outputs that are no tensors, what these are, by path.
    """

    paths: LayerPaths
    is_reachable: Callable[[Any], bool]
    wanted: frozenset[OutputKey] | None = None
    tensors: list[Captured] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _stack: list[Any] = field(default_factory=list)
    _calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._wanted_paths = frozenset(path for path, _, _ in self.wanted or ())

    @contextmanager
    def inside(self, layer: Any) -> Iterator[None]:
        """Notes that a layer's call is under way."""
        self._stack.append(layer)
        try:
            yield
        finally:
            self._stack.pop()

    def record(self, layer: Any, outputs: Any) -> None:
        """Note what a layer has just returned.

        Raises:
            Enough: the last of the wanted tensors was seen.
        """
        path = self.paths.path_of(layer)
        if not path or (self.wanted is not None and path not in self._wanted_paths):
            return
        leaves = _flat(outputs)
        found = [(key, leaf) for key, leaf in leaves if keras.ops.is_tensor(leaf)]
        if len(found) < len(leaves):
            self.left_out[path] = "outputs that are None or no tensors"
        enclosing = self._loop_around(found)
        if enclosing is not None:
            self.hidden.setdefault(path, enclosing)
            return
        call = self._calls.get(path, 0)
        self._calls[path] = call + 1
        for index, (key, tensor) in enumerate(found):
            captured = Captured(path, layer, call, index, key, tensor, tuple(self._stack))
            if self.wanted is None or captured.name in self.wanted:
                self.tensors.append(captured)
        if self.wanted is not None and len(self.tensors) == len(self.wanted):
            raise Enough

    def _loop_around(self, found: list[tuple[str, Any]]) -> str | None:
        """The path of the layer to capture instead, where a loop is under way.

        The layers known to loop count on every backend, even where it unrolls them, so that the
        same layers are offered everywhere.
        """
        for layer in self._stack:
            if isinstance(layer, LOOPS):
                return self.paths.path_of(layer)
        if all(self.is_reachable(tensor) for _, tensor in found):
            return None
        return self.paths.path_of(self._stack[-1]) if self._stack else ""


def _flat(outputs: Any) -> list[tuple[str, Any]]:
    """The leaves of nested outputs, each with its dict key, if any, as `outer/inner`."""
    return [
        ("/".join(str(step) for step in steps if isinstance(step, str)), leaf)
        for steps, leaf in keras.tree.flatten_with_path(outputs)
    ]


_state = threading.local()
_lock = threading.Lock()
_under_way: list[Capture] = []
_originals: dict[type, Callable[..., Any]] = {}


@contextmanager
def capturing(capture: Capture) -> Iterator[None]:
    """Record into `capture` every layer called in this thread; nothing stays behind afterwards."""
    with _lock:
        if not _under_way:
            _replace_calls()
        _under_way.append(capture)
    previous, _state.capture = getattr(_state, "capture", None), capture
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
        _originals[owner] = owner.__dict__["__call__"]
        setattr(owner, "__call__", _intercepting(owner, _originals[owner]))  # noqa: B010


def _restore_calls() -> None:
    for owner, original in _originals.items():
        setattr(owner, "__call__", original)  # noqa: B010
    _originals.clear()


def _intercepting(owner: type, original: Callable[..., Any]) -> Callable[..., Any]:
    """The call of `owner` with a capture of what it returns.

    Layers pass through `keras.Operation` a second time. Operations that are not part of the
    model's structure, such as the padding inside a layer, are made anew, under another name, at
    every call: they are no layers of the model.
    """
    passed_before = keras.layers.Layer if owner is keras.Operation else ()

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        capture: Capture | None = getattr(_state, "capture", None)
        if capture is None or isinstance(self, passed_before) or self not in capture.paths:
            return original(self, *args, **kwargs)
        with capture.inside(self):
            outputs = original(self, *args, **kwargs)
        capture.record(self, outputs)
        return outputs

    return __call__
