"""`get_activations`: what the layers of a Keras model compute for some inputs, as a dict."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from actscope.capturing import capture
from actscope.errors import SelectionError
from actscope.keract.nodes import Nodes, check_format, chosen, formatted, node_of, nodes_of
from actscope.protocol import Array


def get_activations(
    model: Any,
    x: Any,
    layer_names: str | Sequence[str] | None = None,
    nodes_to_evaluate: Sequence[Any] | None = None,
    output_format: str = "simple",
    nested: bool = False,
    auto_compile: bool = True,  # noqa: ARG001 - Keract's word; nothing has to be compiled
) -> "OrderedDict[Any, Any]":
    """The inputs and the outputs of the layers of a Keras model for `x`.

    Args:
        model: any Keras 3 model; it need not be compiled, and stays as it is.
        x: the inputs `(N, ...)`: an array, or a list or dict of arrays for several inputs.
        layer_names: only these layers or inputs, by name, or by path for layers in nested models.
        nodes_to_evaluate: instead of layers, tensors of the graph, such as `layer.output`.
        output_format: keys are `"simple"` names, `"full"` ones, which are `name:0`, or
            `"numbered"` from 0.
        nested: whether nested models give their layers, as `"block/fc1"`, instead of one output.
        auto_compile: without effect.

    Returns:
        Inputs first, then layers in the order in which the model defines them: an array `(N, ...)`
        each, or a list of arrays for a layer that returns several, or is called several times.

    Raises:
        KeyError: (as `UnknownLayerError`) the model has no such layer.
        ValueError: (as `SelectionError`) `layer_names` together with `nodes_to_evaluate`.
    """
    check_format(output_format)
    if nodes_to_evaluate is not None:
        if layer_names is not None:
            raise SelectionError(
                "do not give layer_names together with nodes_to_evaluate: they would not be used"
            )
        values = _evaluated(model, x, nodes_to_evaluate)
    else:
        nodes = nodes_of(model, x, nested=nested)
        names = chosen(nodes, model, layer_names)
        values = _fed(nodes, x, names) | _computed(model, x, nodes, names)
    return OrderedDict(formatted(values, output_format))


def _fed(nodes: Nodes, x: Any, names: Sequence[str]) -> dict[str, Any]:
    """The caller's own inputs, by name."""
    if isinstance(x, Mapping):
        arrays = list(x.values())
    else:
        arrays = list(x) if isinstance(x, list | tuple) else [x]
    fed = zip(nodes.inputs, arrays, strict=False)
    return {name: array for name, array in fed if name in names}


def _computed(model: Any, x: Any, nodes: Nodes, names: Sequence[str]) -> dict[str, Any]:
    layers = [nodes.described[name] for name in names if name not in nodes.inputs]
    found = capture(model, x, layers) if layers else {}
    return {layer.path: _single(found[layer.path]) for layer in layers}


def _single(arrays: list[Array]) -> Any:
    return arrays[0] if len(arrays) == 1 else arrays


def _evaluated(model: Any, x: Any, tensors: Sequence[Any]) -> dict[str, Any]:
    """The values of graph tensors; those of one layer are told apart by what Keract calls full."""
    nodes = nodes_of(model, x, nested=False)
    places = [node_of(tensor, model) for tensor in tensors]
    paths = list(dict.fromkeys(path for path, _, _ in places))
    values = _fed(nodes, x, paths) | _computed(model, x, nodes, paths)
    several = len(paths) < len(places)
    found: dict[str, Any] = {}
    for path, call, index in places:
        outputs = nodes.described[path].outputs if path not in nodes.inputs else ()
        calls = sorted({output.call for output in outputs})
        ordered = [(output.call, output.index) for output in outputs]
        value = values[path]
        if len(ordered) > 1:
            value = value[ordered.index((calls[min(call, len(calls) - 1)], index))]
        found[f"{path}:{index}" if several and not call else _key(path, call, index)] = value
    return found


def _key(path: str, call: int, index: int) -> str:
    name = f"{path}_{call}" if call else path
    return f"{name}:{index}" if index else name
