"""Describes what was seen of a forward pass: the layers, their outputs, and why some have none."""

from collections.abc import Sequence
from math import prod
from typing import Any

import keras

from actscope.dtypes import STORABLE
from actscope.protocol import LayerInfo, OutputInfo
from actscope_keras.axes import axis_names, own_data_format
from actscope_keras.capture import LOOPS, Capture, Captured
from actscope_keras.naming import LayerPaths


def describe(capture: Capture, rows: int, inputs: Sequence[str], output: str) -> list[LayerInfo]:
    """The layers in the order in which they first returned, those that never did at the end.

    Args:
        capture: what was seen of a pass over all of them.
        rows: how many samples went through.
        inputs: the paths of the model's inputs.
        output: the path of what the model itself returned.
    """
    outputs, left_out = _outputs(capture, rows)
    layers = [
        _boundary(path, captured, tuple(outputs.get(path, ())), left_out.get(path, ""))
        for path in (*inputs, output)
        for captured in _first(capture, path)
    ]
    for path, layer in capture.paths.layers.items():
        if isinstance(layer, keras.layers.InputLayer):
            continue
        note = left_out.get(path, "")
        if path not in outputs and not note:
            note = _why_nothing(path, layer, capture)
        layers.append(_layer(path, layer, tuple(outputs.get(path, ())), note))
    last = len(capture.tensors)
    return sorted(layers, key=lambda info: info.outputs[0].order if info.outputs else last)


def describe_unseen(paths: LayerPaths) -> list[LayerInfo]:
    """The layers of a model that cannot be run yet, by its structure alone."""
    note = "the model declares no input shape, so its layers' shapes are known only with data"
    return [_layer(path, layer, (), note) for path, layer in paths.layers.items()]


def _first(capture: Capture, path: str) -> list[Captured]:
    return [captured for captured in capture.tensors if captured.path == path][:1]


def _boundary(
    path: str, captured: Captured, outputs: tuple[OutputInfo, ...], note: str
) -> LayerInfo:
    return LayerInfo(path, captured.class_name, 0, outputs, note, is_boundary=True)


def _layer(path: str, layer: Any, outputs: tuple[OutputInfo, ...], note: str) -> LayerInfo:
    return LayerInfo(
        path=path,
        class_name=type(layer).__name__,
        parameters=sum(prod(weight.shape) for weight in getattr(layer, "weights", ())),
        outputs=outputs,
        note=note,
    )


def _why_nothing(path: str, layer: Any, capture: Capture) -> str:
    steps = path.split("/")
    above = ["/".join(steps[:depth]) for depth in range(1, len(steps))]
    looping = [parent for parent in above if isinstance(capture.paths.layers.get(parent), LOOPS)]
    enclosing = capture.hidden.get(path) or (looping[0] if looping else "")
    if enclosing:
        return f"it runs inside a loop or condition: record the layer around it, {enclosing!r}"
    if path in capture.hidden:
        return "it runs inside a loop or condition of the model itself, which nothing can leave"
    return f"this {type(layer).__name__} is not called when the model runs"


def _outputs(capture: Capture, rows: int) -> tuple[dict[str, list[OutputInfo]], dict[str, str]]:
    """What can be recorded of a pass over `rows` samples, and why the rest cannot, by path."""
    outputs: dict[str, list[OutputInfo]] = {}
    left_out = dict(capture.left_out)
    data_format = keras.config.image_data_format()
    for order, captured in enumerate(capture.tensors):
        shape = tuple(captured.tensor.shape)
        dtype = keras.backend.standardize_dtype(captured.tensor.dtype)
        reason = _why_not(shape, dtype, rows)
        if reason:
            left_out[captured.path] = reason
            continue
        data_format = own_data_format(captured.layer, len(shape) - 1) or data_format
        outputs.setdefault(captured.path, []).append(
            _output(captured, order, shape, dtype, data_format)
        )
    return outputs, left_out


def _why_not(shape: tuple[int | None, ...], dtype: str, rows: int) -> str:
    if not shape or shape[0] != rows:
        return f"its output of shape {shape} has no sample axis"
    if None in shape:
        return f"its output's shape {shape} changes with the data"
    if 0 in shape:
        return f"its output of shape {shape} is empty"
    return "" if dtype in STORABLE else f"its output's dtype {dtype} cannot be stored"


def _output(
    captured: Captured, order: int, shape: tuple[int, ...], dtype: str, data_format: str
) -> OutputInfo:
    # What an attention layer returns beside its output are scores, as if from a layer within it.
    beside = (captured.layer,) if captured.index else ()
    enclosing = (*captured.enclosing, *beside)
    axes = axis_names(captured.layer, enclosing, len(shape) - 1, data_format)
    return OutputInfo(
        path=captured.path,
        class_name=captured.class_name,
        order=order,
        call=captured.call,
        index=captured.index,
        key=captured.key,
        shape=shape[1:],
        dtype=dtype,
        axes=tuple(axes),
        data_format=data_format if "channel" in axes and len(axes) > 1 else "",
        has_mask=captured.mask is not None and len(captured.mask.shape) == 2,
    )
