"""Finds what Keract's words name: layers at the top level or nested, inputs, and graph tensors."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from actscope.capturing import traced
from actscope.errors import ModelError, SelectionError, UnknownLayerError
from actscope.protocol import LayerInfo

FORMATS = ("simple", "full", "numbered")


@dataclass(frozen=True)
class Nodes:
    """A model's parts in Keract's order.

    Attributes:
        inputs: what the inputs are called.
        layers: the layers at the top level, or the innermost ones, by path, in the order in which
            the model defines them.
        described: every layer, by path.
    """

    inputs: tuple[str, ...]
    layers: tuple[str, ...]
    described: dict[str, LayerInfo]


def nodes_of(model: Any, x: Any, *, nested: bool) -> Nodes:
    """The parts of a model as it runs on `x`.

    Raises:
        ModelError: it is no Keras model, or fails on `x`.
    """
    if "keras" not in sys.modules:
        raise ModelError(f"a {type(model).__name__} is no Keras model")
    found = traced(model, x).layers
    described = {layer.path: layer for layer in found}
    inputs = tuple(layer.path for layer in found if _is_input(layer))
    paths = [path for path in _walk(model, "", nested=nested) if path in described]
    kept = [path for path in dict.fromkeys(paths) if described[path].outputs]
    return Nodes(inputs, tuple(kept), described)


def _is_input(layer: LayerInfo) -> bool:
    return layer.is_boundary and layer.class_name == "InputLayer"


def _walk(model: Any, prefix: str, *, nested: bool) -> Iterator[str]:
    """Paths in the order of definition; nested models give those of their layers instead."""
    keras = sys.modules["keras"]
    for layer in getattr(model, "operations", None) or model.layers:
        path = prefix + layer.name
        if nested and isinstance(layer, keras.Model):
            yield from _walk(layer, f"{path}/", nested=True)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield path


def chosen(nodes: Nodes, model: Any, layer_names: str | Sequence[str] | None) -> list[str]:
    """The inputs and layers that `layer_names` names, in Keract's order; without it all of them.

    Raises:
        UnknownLayerError: a name is none of the model's; this is a `KeyError`.
        SelectionError: a layer by that name has nothing that can be captured.
    """
    every = [*nodes.inputs, *nodes.layers]
    if layer_names is None:
        return every
    names = [layer_names] if isinstance(layer_names, str) else list(layer_names)
    unknown = [name for name in names if name not in nodes.described]
    if unknown:
        layers = ", ".join(layer.name for layer in model.layers)
        raise UnknownLayerError(
            f"Could not find a layer with name: [{', '.join(unknown)}]. "
            f"Network layers are [{layers}]"
        )
    for name in names:
        if not nodes.described[name].outputs:
            raise SelectionError(f"{name!r} cannot be captured: {nodes.described[name].note}")
    deeper = [name for name in names if name not in every]
    return [name for name in every if name in names] + deeper


def node_of(node: Any, model: Any) -> tuple[str, int, int]:
    """The layer path, the call and the index of a graph tensor, such as `layer.output`.

    Raises:
        UnknownLayerError: it is none of the model's.
    """
    history = getattr(node, "_keras_history", None)
    for path, layer in _with_paths(model, ""):
        if history is not None and layer is history.operation:
            return path, int(history.node_index), int(history.tensor_index)
    raise UnknownLayerError(
        f"{node!r} is no output of a layer of {model.name!r}: give tensors such as "
        "model.layers[0].output"
    )


def _with_paths(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    keras = sys.modules["keras"]
    for layer in getattr(model, "operations", None) or model.layers:
        yield prefix + layer.name, layer
        if isinstance(layer, keras.Model):
            yield from _with_paths(layer, f"{prefix}{layer.name}/")


def check_format(output_format: str) -> None:
    """Refuse an output format that Keract does not have."""
    if output_format not in FORMATS:
        raise SelectionError(f"output_format={output_format!r}: choose one of {', '.join(FORMATS)}")


def formatted(values: dict[str, Any], output_format: str) -> dict[Any, Any]:
    """The values under the keys that a format asks for: names, `name:0`, or numbers."""
    if output_format == "numbered":
        return dict(enumerate(values.values()))
    if output_format == "full":
        return {f"{name}:0": value for name, value in values.items()}
    return dict(values)
