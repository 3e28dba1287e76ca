"""Gradients of a compiled model's loss with respect to activations and to weights, as dicts."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from actscope.capturing import capture
from actscope.keract.nodes import check_format, chosen, formatted, nodes_of
from actscope.objectives import packed_targets
from actscope.protocol import Array, LayerInfo, Objective
from actscope.weights import weight_gradients


def get_gradients_of_activations(
    model: Any,
    x: Any,
    y: Any,
    layer_names: str | Sequence[str] | None = None,
    output_format: str = "simple",
    nested: bool = False,
) -> "OrderedDict[Any, Any]":
    """The gradient of the loss over all samples with respect to each layer's output.

    Args:
        model: a compiled Keras 3 model.
        x: the inputs `(N, ...)`, or a list or dict of them.
        y: what the loss compares the outputs with.
        layer_names: see `get_activations`.
        output_format: see `get_activations`.
        nested: see `get_activations`.

    Returns:
        Layers in the order in which the model defines them: an array `(N, ...)` of the shape of
        the layer's output, or a list of those.

    Raises:
        GradientError: the model was not compiled with a loss, or `y` does not fit it.
        KeyError: (as `UnknownLayerError`) the model has no such layer.
    """
    check_format(output_format)
    nodes = nodes_of(model, x, nested=nested)
    names = [name for name in chosen(nodes, model, layer_names) if name not in nodes.inputs]
    samples = len(np.asarray(x[0] if isinstance(x, list | tuple) else x))
    objective = Objective("loss", targets=packed_targets(y, samples))
    layers = [nodes.described[name] for name in names if _has_gradient(nodes.described[name])]
    found = capture(model, x, layers, objective)
    # Keras's loss is the mean over the samples; each row found is of its own sample's loss.
    share = 1.0 if _adds_up(model) else 1 / samples
    values = {path: _scaled(arrays, share) for path, arrays in found.items()}
    return OrderedDict(formatted(values, output_format))


def _has_gradient(layer: LayerInfo) -> bool:
    return any(output.dtype.startswith(("float", "bfloat")) for output in layer.outputs)


def _adds_up(model: Any) -> bool:
    return getattr(model.loss, "reduction", None) == "sum"


def _scaled(arrays: list[Array], share: float) -> Any:
    scaled = [array * array.dtype.type(share) for array in arrays]
    return scaled[0] if len(scaled) == 1 else scaled


def get_gradients_of_trainable_weights(model: Any, x: Any, y: Any) -> "OrderedDict[str, Array]":
    """The gradient of the loss over all samples with respect to each trainable weight.

    Args:
        model: a compiled Keras 3 model.
        x: the inputs `(N, ...)`, or a list or dict of them.
        y: what the loss compares the outputs with.

    Returns:
        One array per weight, by a name such as `"conv2d/kernel:0"`.

    Raises:
        GradientError: the model was not compiled with a loss, or `y` does not fit it.
    """
    gradients = weight_gradients(model, x, y)
    return OrderedDict((f"{path}:0", gradient) for path, gradient in gradients.items())
